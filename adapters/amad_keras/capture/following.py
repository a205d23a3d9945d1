"""Follows scores from the product of queries and keys to the softmax, and probabilities on."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from amad_keras.capture.axes import Axes
from amad_keras.capture.fused import Fused, axes_of_outputs
from amad_keras.capture.later import Later
from amad_keras.capture.operation import Operation, running_layers
from amad_keras.capture.origins import Origin
from amad_keras.capture.products import BATCHED, letters, operands_of, transposed_einsum
from amad_keras.capture.projection import Heads, heads_after
from amad_keras.capture.repeats import Repeat, repeat_after
from amad_keras.capture.scores import (
    CASTS,
    SELECTIONS,
    SHAPES,
    Scores,
    number_of,
    number_throughout,
    through,
)
from amad_keras.capture.tables import Table
from amad_keras.capture.tensors import Tensor, rank
from amad_keras.capture.values import Product, every, product_with_values

_MOVED = {*CASTS, *SHAPES, "Transpose"}
_SPREAD = {*_MOVED, *SELECTIONS, "Mul", "RealDiv", "AddV2", "StridedSlice", "Einsum", "Dropout"}
"""What happens to probabilities between the softmax and the values."""


@dataclass(frozen=True)
class Traced:
    """Scores (``None``: no longer followed), and where their product and its operands come from."""

    scores: Scores | Fused | None
    queries: Origin
    keys: Origin
    layers: tuple[Any, ...]


@dataclass
class Probabilities:
    """What a softmax made, and of which scores, where that is known.

    Attributes:
        maps: ``None`` where a fused operation builds none.
        values: what they met, ``[B, Hk, K, d]``, or with samples and heads as one axis.
        weights: ``[D, H d]`` of each linear layer that the heads' outputs have gone into.
    """

    maps: Tensor | None
    traced: Traced | None
    is_found: bool = False
    values: Later | None = None
    weights: list[Later] = field(default_factory=list)


class Following:
    """Takes operations one by one; calls ``found(probabilities, layers)`` for every attention.

    Attention is a softmax of what meets a product: probabilities that are summed over keys.
    """

    def __init__(self, found: Callable[[Probabilities, tuple[Any, ...]], None]) -> None:
        self._found = found
        self._origins, self._factors, self._repeats = Table(), Table(), Table()
        self._traced, self._probabilities = Table(), Table()
        self._axes, self._heads = Table(), Table()
        self._einsums = Table()

    def __call__(self, operation: Operation) -> None:
        """One operation has run."""
        layers = tuple(running_layers())
        origins = tuple(self._origin(one, layers) for one in operation.inputs)
        made = Origin.of(operation, origins, layers)
        for output in operation.outputs:
            self._origins[output] = made
        if not layers or not operation.outputs or not operation.inputs:
            return
        output = operation.outputs[0]
        self._follow_heads(operation)
        if operation.type == "FusedAttention":
            self._fused(operation, origins, layers)
        elif operation.type == "Softmax":
            traced = self._traced[operation.inputs[0]]
            self._probabilities[output] = Probabilities(output, traced)
            self._axes[output] = Axes.of_maps(output, layers[-1].caller)
        elif (rank(output) or 0) > 2:
            self._follow_probabilities(operation, origins, layers)
            self._follow_scores(operation, origins, layers)
            self._follow_vectors(operation)

    def _fused(
        self, operation: Operation, origins: tuple[Origin, ...], layers: tuple[Any, ...]
    ) -> None:
        fused = Fused.of(operation, [self._repeats[one] for one in operation.inputs])
        traced = Traced(fused, origins[0], origins[1], layers)
        found = Probabilities(None, traced, is_found=True, values=fused.values)
        axes = axes_of_outputs(operation)
        if axes is not None:
            self._heads[operation.outputs[0]] = Heads(axes, found.weights)
        self._found(found, layers)

    def _origin(self, tensor: Tensor, layers: tuple[Any, ...]) -> Origin:
        found = self._origins[tensor]
        if found is None:
            found = self._origins[tensor] = Origin.outside(tensor, layers)
        return found  # type: ignore[no-any-return]

    def _follow_probabilities(
        self, operation: Operation, origins: tuple[Origin, ...], layers: tuple[Any, ...]
    ) -> None:
        for place, tensor in enumerate(operation.inputs):
            known: Probabilities | None = self._probabilities[tensor]
            if known is None or known.is_found:
                continue
            axes: Axes | None = self._axes[tensor]
            output = operation.outputs[0]
            product = self._product_with_values(operation, place, axes)
            if product is not None or _meets_values(operation, place):
                known.is_found = True
                if product is not None:
                    known.values = product.values
                    self._heads[output] = Heads(product.axes, known.weights)
                self._found(known, layers)
            elif operation.type in _SPREAD:
                if tensor is known.maps and _is_still_maps(operation, place, origins, known):
                    known.maps = output
                self._probabilities[output] = known
                self._axes[output] = axes and axes.after(operation, place)

    def _product_with_values(
        self, operation: Operation, place: int, axes: Axes | None
    ) -> Product | None:
        is_product = operation.type in (*BATCHED, "Einsum")
        if axes is None or not is_product or len(operation.inputs) != 2:
            return None
        repeat: Repeat | None = self._repeats[operation.inputs[1 - place]]
        return product_with_values(operation, place, axes, repeat)

    def _follow_heads(self, operation: Operation) -> None:
        for place, tensor in enumerate(operation.inputs):
            heads: Heads | None = self._heads[tensor]
            if heads is not None:
                after = heads_after(heads, operation, place)
                if after is not None:
                    self._heads[operation.outputs[0]] = after

    def _follow_scores(
        self, operation: Operation, origins: tuple[Origin, ...], layers: tuple[Any, ...]
    ) -> None:
        output = operation.outputs[0]
        started = self._started(operation, origins, layers)
        if started is not None:
            self._traced[output] = started
            return
        known: dict[int, Traced] = {
            place: traced
            for place, one in enumerate(operation.inputs)
            if (traced := self._traced[one]) is not None
        }
        for place, traced in known.items():
            after = None
            if isinstance(traced.scores, Scores):
                others = {
                    other: one.scores
                    for other, one in known.items()
                    if other != place
                    and isinstance(one.scores, Scores)
                    and one.queries is traced.queries
                }
                after = through(traced.scores, operation, place, others)
            if after is not None:
                self._traced[output] = replace(traced, scores=after)
                return
        for traced in known.values():  # cannot be followed, but where they come from is known
            self._traced[output] = replace(traced, scores=None)
            return

    def _started(
        self, operation: Operation, origins: tuple[Origin, ...], layers: tuple[Any, ...]
    ) -> Traced | None:
        """A product of queries and keys, and where it is an einsum, each transpose of it anew.

        The last axes say which are queries and keys, and JAX often brings an einsum's order of
        axes about by a transpose of its own.
        """
        known: tuple[Operation, tuple[Any, ...]] | None = None
        if operation.type == "Einsum":
            known = operation._replace(outputs=()), layers  # which it would keep alive
        elif operation.type == "Transpose" or operation.type in CASTS:
            known = self._einsums[operation.inputs[0]]
        einsum = None if known is None else transposed_einsum(known[0], operation)
        # None, too: an operation may have written into the einsum that was known here.
        self._einsums[operation.outputs[0]] = known and einsum and (einsum, known[1])
        if known is not None and einsum is not None:
            sources = tuple(self._origin(one, known[1]) for one in einsum.inputs)
            return self._product(einsum, sources, known[1])
        return self._product(operation, origins, layers) if operation.type in BATCHED else None

    def _product(
        self, operation: Operation, origins: tuple[Origin, ...], layers: tuple[Any, ...]
    ) -> Traced | None:
        operands = operands_of(operation)
        if operands is None:
            return None
        scale, vectors = 1.0, []
        sides = (operands.queries, operands.keys)
        for side, place, order in zip(sides, operands.places, operands.orders, strict=True):
            repeat: Repeat | None = self._repeats[operation.inputs[place]]
            if repeat is not None and len(order) == 4 and order.index(repeat.axis) == 1:
                side = side.then(partial(every, repeat.times))
            factor: float | None = self._factors[operation.inputs[place]]
            if factor is not None:  # Many layers scale queries before they meet the keys.
                side = side.then(partial(_divided, factor))
                scale *= factor
            vectors.append(side)
        queries, keys = (origins[place] for place in operands.places)
        return Traced(Scores(vectors[0], vectors[1], scale), queries, keys, layers)

    def _follow_vectors(self, operation: Operation) -> None:
        repeat = repeat_after(operation, self._repeats[operation.inputs[0]])
        if repeat is not None:
            self._repeats[operation.outputs[0]] = repeat
        factor = None
        if operation.type in _MOVED:
            factor = self._factors[operation.inputs[0]]
        elif operation.type == "Mul":
            factor = next(filter(None, map(_positive, operation.inputs)), None)
        elif operation.type == "RealDiv" and (by := _positive(operation.inputs[1])):
            factor = 1 / by
        if factor is not None:
            self._factors[operation.outputs[0]] = factor


def _divided(factor: float, vectors: Tensor) -> Tensor:
    return vectors / factor


def _positive(tensor: Tensor) -> float | None:
    number = number_of(tensor)
    return number if number is not None and number > 0 else None


def _meets_values(operation: Operation, place: int) -> bool:
    """Whether probabilities are summed over keys with something that has keys and no queries."""
    if operation.type in BATCHED:
        return rank(operation.inputs[1 - place]) == rank(operation.inputs[place])
    if operation.type != "Einsum":
        return False
    parsed = letters(operation)
    if parsed is None:
        return False
    own, other, result = parsed[place], parsed[1 - place], parsed[2]
    last = [one for one in own[-2:] if one in other]
    return len(other) > 2 and own[0] in other and len(last) == 1 and last[0] not in result


def _is_still_maps(
    operation: Operation, place: int, origins: tuple[Origin, ...], known: Probabilities
) -> bool:
    """Rows that see nothing are made 0, or the column of a sink is cut off; dropout is neither."""
    if operation.type in SELECTIONS and place:
        is_zero = number_throughout(operation.inputs[3 - place]) == 0
        return is_zero and not origins[0].is_random
    has_sinks = known.traced is not None and known.traced.scores is not None
    if operation.type == "StridedSlice" and has_sinks:
        return known.traced.scores.sinks is not None  # type: ignore[union-attr]
    return False
