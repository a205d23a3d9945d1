"""Hypothesis strategies that draw attention maps, chosen to hurt: for properties of your own.

>>> from hypothesis import given
>>> from amad_core.conformance.strategies import amad_inputs
>>> @given(amad_inputs(masked=True))
... def test_loss_is_not_negative(inputs):
...     assert my_loss(teacher=inputs.teacher, student=inputs.student, mask=inputs.mask) >= 0

What is drawn: one head, one query, one key, one sample; one-hot rows, rows of equal cells, exact
zeros, causal maps; heads that are all equal, heads without a common cell; student heads that are
the teacher's; heads scaled to subnormal or huge numbers. Masks: padding, causal, windows, fully
masked rows, samples without any cell that counts, NaN and infinities in the cells taken out.

Shapes are ``[batch, heads, queries, keys]``. Every size is a number, a strategy for one, or
``None`` for a drawn size. What is drawn shrinks to few small maps of equal cells.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from amad_core.attention.inputs import BoolArray, FloatArray

Size: TypeAlias = int | st.SearchStrategy[int] | None

UNIT_SCALES = (1.0,)
"""Rows that sum to 1, as a softmax leaves them."""

GENTLE_SCALES = (1.0, 0.125, 8.0)
"""Powers of two that no dtype loses anything to; the loss does not depend on a head's scale."""

EXTREME_SCALES = (1.0, 0.125, 8.0, 2.0**-1060, 2.0**-500, 2.0**500, 2.0**1000)
"""Down to subnormal numbers and up to squares that overflow, in float64."""

PARTS_OF_A_ROW = 128
"""With ``exact``, cells are multiples of 1/128: float16 and bfloat16 hold them without rounding."""

EXACT_KEYS = 16
"""The most keys for which every drawn cell is at least one of these parts."""

_LARGEST_WEIGHT = 8
_GARBAGE = (float("nan"), float("inf"), -float("inf"), -1.0, 1e300)

_Weights: TypeAlias = NDArray[np.int64]
_Shape: TypeAlias = tuple[int, int, int, int]


class AmadInputs(NamedTuple):
    """Arguments of one call of the loss; ``mask`` is ``None`` where none was asked for."""

    teacher: FloatArray
    student: FloatArray
    mask: BoolArray | None


@st.composite
def attention_maps(
    draw: st.DrawFn,
    *,
    batch: Size = None,
    heads: Size = None,
    queries: Size = None,
    keys: Size = None,
    scales: Sequence[float] = EXTREME_SCALES,
    exact: bool = False,
    empty_rows: bool = False,
) -> FloatArray:
    """Attention maps ``[batch, heads, queries, keys]``, float64, non-negative, rows summing to 1.

    Args:
        batch, heads, queries, keys: sizes; ``None`` draws 1 to 3, 4, 4, 5.
        scales: each head is multiplied by one of these numbers.
        exact: cells are multiples of 1/128 (before ``scales``), so that a cast to bfloat16 or
            float16 is exact; at most 16 keys.
        empty_rows: also draw rows, and so heads, of zeros, as dropout and padding make them.

    Raises:
        ValueError: ``exact`` with more than 16 keys.
    """
    shape = _shape(draw, batch, heads, queries, keys)
    weights = draw(_head_weights(shape, empty_rows=empty_rows))
    return _scaled(draw, _rows(weights, exact), scales)


@st.composite
def amad_inputs(
    draw: st.DrawFn,
    *,
    batch: Size = None,
    teacher_heads: Size = None,
    student_heads: Size = None,
    queries: Size = None,
    keys: Size = None,
    masked: bool = False,
    garbage: bool = True,
    matching_supports: bool = False,
    scales: Sequence[float] = EXTREME_SCALES,
    exact: bool = False,
    empty_rows: bool = False,
) -> AmadInputs:
    """Teacher and student maps that belong together, and a mask where asked for.

    Args:
        batch, teacher_heads, student_heads, queries, keys: sizes; ``None`` draws 1 to 3, 4, 4,
            4, 5.
        masked: draw a mask as ``cell_masks`` does; else ``mask`` is ``None``.
        garbage: put NaN, infinities, negative and huge numbers into cells that the mask takes out.
        matching_supports: wherever a teacher head has mass some student head has too, so that no
            KL divergence is infinite.
        scales, exact, empty_rows: as in ``attention_maps``.

    Raises:
        ValueError: ``exact`` with more than 16 keys.
    """
    shape = _shape(draw, batch, teacher_heads, queries, keys)
    student_shape = (shape[0], _size(draw, student_heads, 4), shape[2], shape[3])
    teacher = draw(_head_weights(shape, empty_rows=empty_rows))
    student = draw(_student_weights(student_shape, teacher, empty_rows=empty_rows))
    if matching_supports:
        unmatched = (teacher > 0).any(axis=1) & ~(student > 0).any(axis=1)
        student[:, 0] += unmatched
    maps = [_scaled(draw, _rows(weights, exact), scales) for weights in (teacher, student)]
    if not masked:
        return AmadInputs(maps[0], maps[1], None)
    mask = draw(cell_masks(batch=shape[0], queries=shape[2], keys=shape[3]))
    if garbage:
        fillings = [draw(st.sampled_from((0.0, *_GARBAGE))) for _ in maps]
        maps = [
            np.where(mask[:, np.newaxis], array, filling)
            for array, filling in zip(maps, fillings, strict=True)
        ]
    return AmadInputs(maps[0], maps[1], mask)


@st.composite
def cell_masks(
    draw: st.DrawFn,
    *,
    batch: Size = None,
    queries: Size = None,
    keys: Size = None,
    empty: bool = True,
) -> BoolArray:
    """Masks ``[batch, queries, keys]``, true where a cell counts.

    Padded queries and keys, causal, a window around the diagonal, or any cells at all.

    Args:
        batch, queries, keys: sizes; ``None`` draws 1 to 3, 4, 5.
        empty: also draw masks with fully masked rows, and samples without any cell that counts.
    """
    lengths = _size(draw, batch, 3), _size(draw, queries, 4), _size(draw, keys, 5)
    rows, columns = np.arange(lengths[1])[:, np.newaxis], np.arange(lengths[2])
    kind = draw(st.sampled_from(("padding", "causal", "window", "any")))
    if kind == "padding":
        mask = np.stack([draw(_padding(rows, columns, empty)) for _ in range(lengths[0])])
    elif kind == "any":
        mask = draw(arrays(np.bool_, lengths))
    else:
        distance = columns - rows
        band = distance <= 0 if kind == "causal" else np.abs(distance) <= 1
        mask = np.broadcast_to(band, lengths).copy()
    if not empty:
        mask[:, :, 0] |= ~mask.any(axis=2)
    return np.asarray(mask)


@st.composite
def _padding(
    draw: st.DrawFn, rows: NDArray[np.int64], columns: NDArray[np.int64], empty: bool
) -> BoolArray:
    least = 0 if empty else 1
    real_queries = draw(st.integers(least, rows.shape[0]))
    real_keys = draw(st.integers(least, columns.shape[0]))
    return (rows < real_queries) & (columns < real_keys)


@st.composite
def _head_weights(draw: st.DrawFn, shape: _Shape, *, empty_rows: bool) -> _Weights:
    """Whole numbers 0 to 8, one a cell, that rows are divided from: small numbers shrink well."""
    weights = draw(
        st.one_of(
            arrays(np.int64, shape, elements=st.integers(0, _LARGEST_WEIGHT)),
            st.integers(0, 2**32 - 1).map(lambda seed: _dense_weights(shape, seed)),
            arrays(np.int64, shape[:3], elements=st.integers(0, shape[3] - 1)).map(
                lambda hot: np.eye(shape[3], dtype=np.int64)[hot]
            ),
        )
    )
    structure = draw(st.sampled_from(("free", "equal", "disjoint", "causal")))
    if structure == "equal":
        return _filled(
            np.repeat(weights[:, :1], shape[1], axis=1), np.ones(shape, bool), empty_rows
        )
    return _filled(weights, _support(structure, shape), empty_rows)


@st.composite
def _student_weights(
    draw: st.DrawFn, shape: _Shape, teacher: _Weights, *, empty_rows: bool
) -> _Weights:
    """Drawn afresh, or the teacher's own heads, repeated or cut to the student's number."""
    if draw(st.booleans()):
        order = draw(st.permutations(range(shape[1])))
        return np.asarray(teacher[:, [head % teacher.shape[1] for head in order]])
    return draw(_head_weights(shape, empty_rows=empty_rows))


def _dense_weights(shape: _Shape, seed: int) -> _Weights:
    return np.random.default_rng(seed).integers(0, _LARGEST_WEIGHT, shape, endpoint=True)


def _support(structure: str, shape: _Shape) -> BoolArray:
    """The cells that a structure leaves to each head."""
    batch, heads, queries, keys = shape
    if structure == "causal":
        band = np.arange(keys) <= np.arange(queries)[:, np.newaxis] + max(keys - queries, 0)
        return np.broadcast_to(band, shape)
    if structure == "disjoint" and keys >= heads:
        # Another head order in every sample, so that a port that mixes the batch is seen.
        owner = (np.arange(keys) + np.arange(batch)[:, np.newaxis]) % heads
        belongs = owner[:, np.newaxis, :] == np.arange(heads)[:, np.newaxis]
        return np.broadcast_to(belongs[:, :, np.newaxis, :], shape)
    return np.ones(shape, dtype=bool)


def _filled(weights: _Weights, support: BoolArray, empty_rows: bool) -> _Weights:
    """Weights within the support; rows without any get equal ones unless they may stay empty."""
    weights = np.where(support, weights, 0)
    if empty_rows:
        return weights
    return np.where(weights.any(axis=-1, keepdims=True), weights, support.astype(np.int64))


def _rows(weights: _Weights, exact: bool) -> FloatArray:
    """Rows that sum to 1 (or 0), in the proportion of the weights."""
    total = np.maximum(weights.sum(axis=-1, keepdims=True), 1)
    if not exact:
        return np.asarray(weights / total)
    if weights.shape[-1] > EXACT_KEYS:
        raise ValueError(f"exact maps have at most {EXACT_KEYS} keys; got {weights.shape[-1]}")
    parts = weights * PARTS_OF_A_ROW // total
    rest = np.where(weights.any(axis=-1), PARTS_OF_A_ROW - parts.sum(axis=-1), 0)
    largest = np.argmax(parts, axis=-1)[..., np.newaxis]
    np.put_along_axis(
        parts, largest, np.take_along_axis(parts, largest, -1) + rest[..., np.newaxis], -1
    )
    return np.asarray(parts / PARTS_OF_A_ROW)


def _scaled(draw: st.DrawFn, maps: FloatArray, scales: Sequence[float]) -> FloatArray:
    if tuple(scales) == UNIT_SCALES:
        return maps
    factors = [draw(st.sampled_from(tuple(scales))) for _ in range(maps.shape[1])]
    return np.asarray(maps * np.asarray(factors)[:, np.newaxis, np.newaxis])


def _shape(draw: st.DrawFn, batch: Size, heads: Size, queries: Size, keys: Size) -> _Shape:
    return (
        _size(draw, batch, 3),
        _size(draw, heads, 4),
        _size(draw, queries, 4),
        _size(draw, keys, 5),
    )


def _size(draw: st.DrawFn, size: Size, largest: int) -> int:
    if size is None:
        return draw(st.integers(1, largest))
    return size if isinstance(size, int) else draw(size)
