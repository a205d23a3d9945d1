"""Attention that cannot be captured: products of queries and keys whose softmax is not seen."""

from typing import Any

from amad_keras.capture.axes import KEYS, QUERIES, SAMPLES, Axes
from amad_keras.capture.operation import Operation, attribute
from amad_keras.capture.products import BATCHED, letters
from amad_keras.capture.tables import Table
from amad_keras.capture.tensors import Tensor, known_shape, rank

_MIXING = {"MatMul", "Conv2D", *BATCHED, "Einsum", "FusedAttention", "ConcatV2", "StridedSlice"}
"""After these the cells are no longer those of queries and keys."""


class Unmet:
    """Follows products of two activations, cell by cell, to what they meet.

    Attention that meets its values without a softmax over its keys (sigmoid, squared, linear) is
    found here, and so is a softmax whose result is never seen to meet values.
    """

    def __init__(self) -> None:
        self._products = Table()
        self._softmaxes: dict[int, tuple[Any, ...]] = {}
        self._found: list[tuple[Any, ...]] = []

    @property
    def layers(self) -> list[tuple[Any, ...]]:
        """The running layers of all that has been found."""
        return [*self._found, *self._softmaxes.values()]

    def start(self, product: Tensor, axes: Axes | None) -> None:
        """These are queries times keys."""
        if axes is not None:
            self._products[product] = axes

    def softmax(self, scores: Tensor, number: int, layers: tuple[Any, ...]) -> None:
        """A softmax with a number of its own ran."""
        if self._products[scores] is not None:
            self._softmaxes[number] = layers

    def met(self, number: int) -> None:
        """The result of that softmax met values."""
        self._softmaxes.pop(number, None)

    def __call__(self, operation: Operation, layers: tuple[Any, ...]) -> bool:
        """One operation has run; whether a product without a softmax met values in it."""
        for place, tensor in enumerate(operation.inputs):
            axes: Axes | None = self._products[tensor]
            if axes is None:
                continue
            if sums(operation, place, axes):
                self._found.append(layers)
                return True
            if operation.type not in _MIXING:
                after = axes.after(operation, place)
                if after is not None and {QUERIES, KEYS} <= set(after.names):
                    self._products[operation.outputs[0]] = after
                    return False
        return False


def axes_of_several(operation: Operation) -> Axes | None:
    """Of a product whose queries or keys are several axes (images), as far as they tell."""
    parsed = letters(operation) if operation.type == "Einsum" else None
    if parsed is None:
        return None
    left, right, result = parsed
    names = tuple(
        SAMPLES if one in left and one in right else QUERIES if one in left else KEYS
        for one in result
    )
    is_summed = any(one in right and one not in result for one in left)
    is_product = is_summed and names[0] == SAMPLES and {QUERIES, KEYS} <= set(names)
    shape = known_shape(operation.outputs[0])
    return Axes(names, dict(zip(names, shape, strict=True))) if is_product else None


def sums(operation: Operation, place: int, axes: Axes) -> bool:
    """Whether queries or keys are summed over with what has the one and not the other."""
    if operation.type in BATCHED and rank(operation.inputs[1 - place]) == len(axes.names):
        is_turned = bool(attribute(operation, ("adj_x", "adj_y")[place]))
        return axes.names[-1 if (place == 0) != is_turned else -2] in (QUERIES, KEYS)
    parsed = letters(operation) if operation.type == "Einsum" else None
    if parsed is None:
        return False
    own, other, result = parsed[place], parsed[1 - place], parsed[2]
    met = [own[axes.names.index(name)] for name in (QUERIES, KEYS) if name in axes.names]
    met = [letter for letter in met if letter in other]
    return own[0] in other and len(met) == 1 and met[0] not in result
