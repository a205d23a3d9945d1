"""Scores that are on their way to a softmax: which queries and keys they came from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras

from amad_keras.capture.later import Later
from amad_keras.capture.layer_attention import Attended
from amad_keras.capture.operation import Operation
from amad_keras.capture.placed import LARGEST_DROPPED, Placed, mask_and_bias
from amad_keras.capture.sources import is_symbolic, number_in, static_value
from amad_keras.capture.tensors import (
    Tensor,
    is_number,
    known_shape,
    lengths,
    number_of_cells,
    rank,
)

CASTS = {"Cast", "Identity", "StopGradient"}
SHAPES = {"Reshape", "ExpandDims", "Squeeze"}
SELECTIONS = {"Select", "SelectV2"}
_SUMS = {"Add", "AddV2", "BiasAdd", "Sub"}


@dataclass(frozen=True)
class Scores:
    """Queries, keys, and what has happened to their products since.

    Attributes:
        queries, keys: ``[..., Q, d]`` and ``[..., K, d]``.
        scale: what the products are multiplied by.
        added: biases and additive masks.
        dropped: boolean masks, true where a key is *not* seen.
        softcap: of a tanh on the way.
        sinks: scores of a further key.
        is_reshaped: the axes before the keys are no longer those of queries and keys.
        is_shifted: something has been added that is the same for all keys.
        order: which axis of the scores each of ``[B, ..., Q, K]`` is; ``None``: they are these.
    """

    queries: Later
    keys: Later
    scale: float | Tensor = 1.0
    added: tuple[Placed, ...] = ()
    dropped: tuple[Placed, ...] = ()
    softcap: float | None = None
    sinks: Tensor | None = None
    is_reshaped: bool = False
    is_shifted: bool = False
    order: tuple[int, ...] | None = None

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

    def settled(self, axis: int, axes: int) -> "Scores | None":
        """With the softmax over this axis, which makes it that of the keys; ``None``: it is neither
        that of the queries nor that of the keys."""
        *lead, queries, keys = self.order or range(axes)
        if keys != axis and queries == axis:
            swapped = [*range(axes - 2), axes - 1, axes - 2]
            added, dropped = (
                tuple(one.transposed(swapped) for one in placed)
                for placed in (self.added, self.dropped)
            )
            return replace(
                self,
                queries=self.keys,
                keys=self.queries,
                added=added,
                dropped=dropped,
                order=(*lead, keys, queries),
            ).settled(axis, axes)
        return self if keys == axis and not (self.is_reshaped and self.order) else None

    def _vectors(self, tensor: Tensor, first: list[Any]) -> Tensor:
        """``[B, H, L, d]`` of ``[..., L, d]``, where axes may be one that are several in maps."""
        if len(tensor.shape) == 4 and not self.is_reshaped:
            return tensor
        return keras.ops.reshape(tensor, [*first, *lengths(tensor)[len(first) - 4 :]])


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
        same_keys = inputs[0].shape[-1] == output.shape[-1] and scores.order is None
        return replace(scores, is_reshaped=True) if same_keys and rank(output) != 2 else None
    if name == "Transpose":
        return _transposed(scores, static_value(inputs[1]))
    if name == "Tanh":
        is_plain = scores.is_scaled_only and not scores.is_shifted
        return replace(scores, softcap=1.0) if is_plain else None
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
        if axes and _is_same_for_all_keys(scores, second, rank(output) or 0):
            return replace(scores, is_shifted=True)  # which is nothing to a softmax
        values, number = Later(second, axes), number_of(second)
        if name == "Sub":
            values, number = values.then(lambda one: -one), None if number is None else -number
        placed = _placed(scores, values, output, number)
        return replace(scores, added=(*scores.added, placed))
    return None


def _placed(scores: Scores, values: Later, output: Tensor, number: float | None) -> Placed:
    """Of values that met scores, in the order of axes of ``[B, ..., Q, K]``."""
    placed = Placed(values, _shape_of(output), number)
    return placed if scores.order is None else placed.transposed(scores.order)


def _is_same_for_all_keys(scores: Scores, added: Tensor, axes: int) -> bool:
    place = -1 if scores.order is None else scores.order[-1] - axes
    lacks = len(added.shape) < -place and scores.order is not None
    return lacks or (len(added.shape) >= -place and added.shape[place] == 1)


def _scaled(scores: Scores, factor: Tensor, *, inverse: bool) -> Scores | None:
    if rank(factor) is None:
        return None
    number = number_of(factor)
    if number:
        number = 1 / number if inverse else number
        if scores.sinks is not None or (number < 0 and (scores.dropped or scores.softcap)):
            return None
        if any((one.number or 0.0) * number > LARGEST_DROPPED for one in scores.dropped):
            return None
        return replace(
            scores,
            scale=scores.scale * number,
            softcap=scores.softcap and scores.softcap * number,
            added=tuple(placed.times(number) for placed in scores.added),
            dropped=tuple(
                replace(one, number=(one.number or 0.0) * number) for one in scores.dropped
            ),
        )
    if not scores.is_scaled_only:
        return None
    if inverse:
        factor = 1 / factor
    if rank(factor) == 0:
        return replace(scores, scale=factor * keras.ops.cast(scores.scale, factor.dtype))
    if scores.is_reshaped:
        return None
    shape = [*[1] * (scores.queries.rank - len(factor.shape)), *factor.shape]
    order = scores.order or range(len(shape))
    if any(shape[axis] != 1 for axis in list(order)[-2:]):
        return None
    of_heads = Later(factor, len(shape), lambda one: keras.ops.reshape(one, shape))
    of_heads = of_heads.transposed(list(order))  # of each head its own
    return replace(scores, queries=scores.queries.then(lambda queries: queries * of_heads.read()))


def _transposed(scores: Scores, order: Any) -> Scores | None:
    if order is None or scores.is_reshaped or scores.sinks is not None:
        return None
    axes = len(order)
    before, order = scores.order or range(axes), [int(axis) for axis in order]
    after = [order.index(axis) for axis in before]
    lead = sorted(range(axes - 2), key=after.__getitem__)
    if scores.order is None and lead != sorted(lead):  # as they stand now: samples come first
        if {scores.queries.rank, scores.keys.rank} != {axes}:
            return None
        moved = [*lead, axes - 2, axes - 1]
        scores, after = _moved(scores, moved), [after[axis] for axis in moved]
    return replace(scores, order=None if after == sorted(after) else tuple(after))


def _moved(scores: Scores, order: Sequence[int]) -> Scores:
    return replace(
        scores,
        queries=scores.queries.transposed(list(order)),
        keys=scores.keys.transposed(list(order)),
        added=tuple(one.transposed(order) for one in scores.added),
        dropped=tuple(one.transposed(order) for one in scores.dropped),
    )


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
    placed = _placed(scores, dropped, operation.outputs[0], number)
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
    is_last = int(axis) in (-1, last) and scores.order is None
    if place != 0 or len(operation.inputs) != 3 or not is_last:
        return None
    column = operation.inputs[1]
    return replace(scores, sinks=column) if column.shape[-1] == 1 else None


def _shape_of(scores: Tensor) -> Any:
    """Their shape, without holding them where it says all."""
    shape = known_shape(scores)
    return scores if None in shape else shape
