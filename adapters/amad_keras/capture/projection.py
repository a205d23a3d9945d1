"""The outputs of the heads on their way to the linear layer that mixes them."""

from dataclasses import dataclass, replace
from typing import Any

import keras

from amad_keras.capture.axes import HEADS, WIDTH, Axes
from amad_keras.capture.later import Later
from amad_keras.capture.operation import Operation, attribute
from amad_keras.capture.products import BATCHED, letters
from amad_keras.capture.scores import SELECTIONS, number_throughout
from amad_keras.capture.tensors import Tensor, lengths, rank

_MOVED = {
    "Cast", "Identity", "StopGradient", "Transpose", "Reshape", "ExpandDims", "Squeeze",
}  # fmt: skip


@dataclass(frozen=True)
class Heads:
    """The outputs of a layer's heads: their axes, and the weights that they have met so far.

    ``pooled``: the probabilities that made them, where no product made those.
    """

    axes: Axes
    weights: list[Later]
    pooled: Any = None


def heads_after(heads: Heads, operation: Operation, place: int) -> Heads | None:
    """The same after an operation; ``None`` where it cannot be followed.

    A linear layer of all heads is noted among their weights, ``[D, H d]``.
    """
    if (place == 0 and operation.type in _MOVED) or _makes_zero(operation, place):
        axes = heads.axes.after(operation, place)
        return None if axes is None else replace(heads, axes=axes)
    weight = None
    if operation.type == "Einsum":
        weight = _of_einsum(operation, place, heads.axes)
    elif operation.type in ("MatMul", *BATCHED) and place == 0:
        weight = _of_product(operation, heads.axes)
    if weight is not None:
        heads.weights.append(weight)
    return None


def _makes_zero(operation: Operation, place: int) -> bool:
    """Whether some rows are made 0, those that see nothing."""
    is_selected = operation.type in SELECTIONS and place > 0
    return is_selected and number_throughout(operation.inputs[3 - place]) == 0


def _of_product(operation: Operation, axes: Axes) -> Later | None:
    weight = operation.inputs[1]
    own, other = (
        bool(attribute(operation, f"transpose_{side}") or attribute(operation, f"adj_{adjoint}"))
        for side, adjoint in ("ax", "by")
    )
    summed = axes.names[-2 if own else -1]
    if rank(weight) != 2 or not _is_all(axes, summed):
        return None
    if weight.shape[1 if other else 0] != axes.length(summed):
        return None
    return Later(weight, 2).transposed([0, 1] if other else [1, 0])


def _of_einsum(operation: Operation, place: int, axes: Axes) -> Later | None:
    parsed, weight = letters(operation), operation.inputs[1 - place]
    if parsed is None:
        return None
    own, other, result = parsed[place], parsed[1 - place], parsed[2]
    by_letter = dict(zip(own, axes.names, strict=True))
    summed = [letter for letter in own if letter in other and letter not in result]
    summed.sort(key=lambda letter: (HEADS + WIDTH).find(by_letter[letter][:1] or WIDTH))
    new = [letter for letter in other if letter not in own]
    named = "".join(by_letter[letter] for letter in summed)
    if len(new) != 1 or len(summed) + 1 != len(other) or not _is_all(axes, named):
        return None
    order = [other.index(letter) for letter in (new[0], *summed)]
    return replace(Later(weight, len(order)).transposed(order).then(_flat), rank=2)


def _flat(weight: Tensor) -> Tensor:
    return keras.ops.reshape(weight, [lengths(weight)[0], -1])


def _is_all(axes: Axes, summed: str) -> bool:
    """Whether axes are those of all heads, the outermost first, and of their width."""
    letters_of_all = "".join(one for one in HEADS if one in axes.sizes) + WIDTH
    return axes.lettered(summed) == axes.lettered(letters_of_all)
