"""Scores that are on their way to a softmax: which queries and keys they came from."""

from dataclasses import dataclass, replace
from typing import Any

import keras

from amad_keras.capture.later import Later
from amad_keras.capture.layer_attention import Attended
from amad_keras.capture.operation import Operation
from amad_keras.capture.sources import is_symbolic, number_in, static_value
from amad_keras.capture.tensors import (
    Tensor,
    is_number,
    known_shape,
    lengths,
    number_of_cells,
    rank,
)

LARGEST_DROPPED = -1e4
"""An additive mask holds this or less where a key is dropped."""

CASTS = {"Cast", "Identity", "StopGradient"}
SHAPES = {"Reshape", "ExpandDims", "Squeeze"}
SELECTIONS = {"Select", "SelectV2"}
_SUMS = {"Add", "AddV2", "BiasAdd", "Sub"}


@dataclass(frozen=True)
class Placed:
    """A mask or bias, and the scores that it met: their shape, or in a graph they themselves.

    ``number``: what it holds throughout, where that is known.
    """

    values: Later
    scores: Any
    number: float | None = None

    def times(self, factor: float) -> "Placed":
        """The same, multiplied along with the scores that it was added to."""
        number = None if self.number is None else self.number * factor
        return replace(self, values=self.values.then(lambda one: one * factor), number=number)

    def read(self, maps: Tensor) -> Tensor:
        """Broadcastable to the maps ``[B, H, Q, K]``."""
        met, values = self.scores, self.values.read()
        static = met if isinstance(met, list) else known_shape(met)
        ones = [1] * (len(static) - len(values.shape))
        values = keras.ops.reshape(values, (*ones, *lengths(values)))
        if _may_be_same(static, known_shape(maps)):
            return values
        if len(static) == 5 and values.shape[1] == values.shape[2] == 1:
            return values[:, 0]
        whole = met if isinstance(met, list) else lengths(met)
        return keras.ops.reshape(keras.ops.broadcast_to(values, whole), lengths(maps))


@dataclass(frozen=True)
class Scores:
    """Queries, keys, and what has happened to their products since.

    Attributes:
        queries, keys: ``[..., Q, d]`` and ``[..., K, d]``.
        scale: what the products are multiplied by.
        added: biases and additive masks.
        dropped: boolean masks, true where a key is *not* seen.
        softcap: of a tanh on the way; below 0 as long as only the tanh has run.
        sinks: scores of a further key.
        is_reshaped: the axes before the keys are no longer those of queries and keys.
    """

    queries: Later
    keys: Later
    scale: float | Tensor = 1.0
    added: tuple[Placed, ...] = ()
    dropped: tuple[Placed, ...] = ()
    softcap: float | None = None
    sinks: Tensor | None = None
    is_reshaped: bool = False

    @property
    def is_scaled_only(self) -> bool:
        """Whether nothing has happened but a scale."""
        return not (self.added or self.dropped or self.softcap)

    def read(self, maps: Tensor) -> Attended:
        """What the maps ``[B, H, Q, K]`` follow from."""
        batch, heads, rows, _ = lengths(maps)
        mask: Tensor | None = None
        bias: Tensor | None = None
        for placed in self.added:
            its_mask, its_bias = mask_and_bias(placed.read(maps))
            mask = its_mask if mask is None or its_mask is None else mask & its_mask
            bias = its_bias if bias is None or its_bias is None else bias + its_bias
        for placed in self.dropped:
            seen = keras.ops.logical_not(placed.read(maps))
            mask = seen if mask is None else mask & seen
        return Attended(
            self._vectors(self.queries.read(), [batch, heads, rows]),
            self._vectors(self.keys.read(), [batch, -1]),
            self.scale,
            mask,
            bias,
            self.softcap,
            self.sinks,
        )

    def _vectors(self, tensor: Tensor, first: list[Any]) -> Tensor:
        """``[B, H, L, d]`` of ``[..., L, d]``, where axes may be one that are several in maps."""
        if len(tensor.shape) == 4 and not self.is_reshaped:
            return tensor
        return keras.ops.reshape(tensor, [*first, *lengths(tensor)[len(first) - 4 :]])


def _may_be_same(one: list[int | None], other: list[int | None]) -> bool:
    """Whether shapes agree as far as they are known."""
    both = zip(one, other, strict=False)
    return len(one) == len(other) and all(a == b or None in (a, b) for a, b in both)


def through(scores: Scores, operation: Operation, place: int, others: dict[int, Scores]) -> Any:
    """The scores after a further operation; ``None`` where they cannot be followed.

    Args:
        place: which input of the operation they are.
        others: scores that other inputs are.
    """
    name, inputs, output = operation.type, operation.inputs, operation.outputs[0]
    if name in CASTS:
        return scores
    if name in SHAPES:
        same_keys = inputs[0].shape[-1] == output.shape[-1]
        return replace(scores, is_reshaped=True) if same_keys and rank(output) != 2 else None
    if name == "Transpose":
        return _transposed(scores, static_value(inputs[1]))
    if name == "Tanh":
        return replace(scores, softcap=-1.0) if scores.is_scaled_only else None
    if name == "ConcatV2":
        return _with_sinks(scores, operation, place)
    if name in SELECTIONS:
        return _selected(scores, operation, place, others)
    if name == "Mul":
        return _scaled(scores, inputs[1 - place], inverse=False)
    if name == "RealDiv":
        return _scaled(scores, inputs[1], inverse=True) if place == 0 else None
    if name in _SUMS and not (name == "Sub" and place):
        second = inputs[1 - place]
        axes = rank(second) or 0
        if axes and second.shape[-1] == 1:
            return scores  # The same for all keys, hence nothing to a softmax.
        values, number = Later(second, axes), number_of(second)
        if name == "Sub":
            values, number = values.then(lambda one: -one), None if number is None else -number
        return replace(scores, added=(*scores.added, Placed(values, _shape_of(output), number)))
    return None


def _scaled(scores: Scores, factor: Tensor, *, inverse: bool) -> Scores | None:
    if rank(factor) is None:
        return None
    number = number_of(factor)
    if number:
        number = 1 / number if inverse else number
        if scores.softcap is not None and scores.softcap < 0:  # after the tanh
            return replace(scores, scale=scores.scale * number, softcap=number)
        if scores.dropped or scores.softcap or scores.sinks is not None:
            return None
        added = tuple(placed.times(number) for placed in scores.added)
        return replace(scores, scale=scores.scale * number, added=added)
    if not scores.is_scaled_only:
        return None
    if inverse:
        factor = 1 / factor
    if rank(factor) == 0:
        return replace(scores, scale=factor * keras.ops.cast(scores.scale, factor.dtype))
    if tuple(factor.shape[-2:]) == (1, 1) and not scores.is_reshaped:  # of each head its own
        return replace(scores, queries=scores.queries.then(lambda queries: queries * factor))
    return None


def _transposed(scores: Scores, order: Any) -> Scores | None:
    if order is None or not scores.is_scaled_only:
        return None
    order = [int(axis) for axis in order]
    rank, lead = len(order), order[:-2]
    moved = lead != sorted(lead)
    if sorted(order[-2:]) != [rank - 2, rank - 1] or (moved and scores.is_reshaped):
        return None
    queries, keys = scores.queries, scores.keys
    if moved:
        if {queries.rank, keys.rank} != {rank}:
            return None
        queries, keys = (one.transposed([*lead, rank - 2, rank - 1]) for one in (queries, keys))
    if order[-1] == rank - 2:
        queries, keys = keys, queries
    return replace(scores, queries=queries, keys=keys)


def _selected(
    scores: Scores, operation: Operation, place: int, others: dict[int, Scores]
) -> Scores | None:
    if place == 0:
        return None
    condition, instead = operation.inputs[0], operation.inputs[3 - place]
    dropped = Later(condition, rank(condition) or 0)
    if place == 1:
        dropped = dropped.then(keras.ops.logical_not)
    other = others.get(3 - place)
    if other is None:
        number = number_throughout(instead)
    else:  # Both branches are these scores; in one of them, less a large number.
        further = other.added[len(scores.added) :]
        number = further[0].number if len(further) == 1 else None
    if number is None or number > LARGEST_DROPPED:
        return None
    placed = Placed(dropped, _shape_of(operation.outputs[0]))
    return replace(scores, dropped=(*scores.dropped, placed))


def number_of(tensor: Tensor) -> float | None:
    """The number that a tensor of one element holds, where that is known now."""
    if not is_number(tensor):
        return None
    value = static_value(tensor)
    return float(value.reshape(-1)[0]) if value is not None and value.size == 1 else None


def number_throughout(tensor: Tensor) -> float | None:
    """The one number that a tensor of any size holds, where that is known now."""
    if number_of_cells(tensor) == 1:
        return number_of(tensor)
    if is_symbolic(tensor):
        return number_in(tensor)
    smallest, largest = (float(one(tensor)) for one in (keras.ops.min, keras.ops.max))
    return smallest if smallest == largest else None


def _with_sinks(scores: Scores, operation: Operation, place: int) -> Scores | None:
    axis = static_value(operation.inputs[-1])
    last = len(operation.outputs[0].shape) - 1
    if place != 0 or len(operation.inputs) != 3 or int(axis) not in (-1, last):
        return None
    column = operation.inputs[1]
    return replace(scores, sinks=column) if column.shape[-1] == 1 else None


def mask_and_bias(given: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """What a model adds to its scores: the keys that are seen, and a bias.

    Both in a graph, which cannot tell whether there are any.
    """
    ops = keras.ops
    seen = given > ops.cast(LARGEST_DROPPED, given.dtype)
    bias = ops.where(seen, given, ops.zeros_like(given))
    if is_symbolic(given):
        return seen, bias
    return None if bool(ops.all(seen)) else seen, bias if bool(ops.any(bias != 0)) else None


def _shape_of(scores: Tensor) -> Any:
    """Their shape, without holding them where it says all."""
    shape = known_shape(scores)
    return scores if None in shape else shape
