"""Cases at the borders: sizes of one, exact zeros, garbage and padding under a mask, infinities."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from amad_core.attention.inputs import BoolArray, FloatArray, broadcast_mask
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.inputs.designed import STEPS, quantised
from amad_core.conformance.inputs.projections import positive_projection
from amad_core.conformance.inputs.terms import Terms

Sizes = tuple[int, int, int, int, int]
"""Batch, teacher heads, student heads, queries, keys."""

Fitting = Callable[[Case], Case]
"""Makes of a case with a mask one that a port can be asked, see ``token_masks.of_tokens``."""

GARBAGE = (float("nan"), float("inf"), 1e30)
"""What cells that a mask takes out may hold without any influence."""


SHAPES: tuple[Sizes, ...] = (
    (1, 1, 1, 1, 1),
    (1, 1, 2, 1, 2),
    (1, 2, 1, 2, 2),
    (3, 2, 4, 1, 5),
    (2, 3, 2, 3, 1),
    (2, 3, 2, 2, 3),
    (2, 3, 2, 4, 5),
)
"""Of all inputs here and of those that are drawn: few, since some frameworks compile each."""

MASKED_SHAPES = SHAPES[-2:]
"""Those that come with a mask, too."""

_SMALL, _MIDDLE = MASKED_SHAPES
_LONG = (1, 2, 2, 48, 64)
_BUMP = 6.0
"""How much higher a long map is where a head looks. All cells stay normal numbers of float16."""


def edge_cases(terms: Terms, seed: int) -> list[Case]:
    """One sample, head, query or key; equal heads; and :func:`maps_with_zeros`."""
    rng = np.random.default_rng([seed, 1])
    names = ("one-cell", "one-teacher-head", "one-student-head", "one-query", "one-key")
    cases = [
        Case(f"edge/{name}", *_maps(rng, sizes)) for name, sizes in zip(names, SHAPES, strict=False)
    ]
    teacher, student = _maps(rng, _SMALL)
    cases.append(Case("edge/equal-heads", teacher, np.repeat(student[:, :1], 2, axis=1)))
    cases.append(Case("edge/heads-of-the-teacher", teacher, teacher[:, :2].copy()))
    cases = [prepared(case, terms, seed) for case in cases]
    return cases + maps_with_zeros(terms, seed)


def maps_with_zeros(terms: Terms, seed: int) -> list[Case]:
    """Exact zeros as models make them: causal maps, padded keys, rows that look at one key only."""
    rng = np.random.default_rng([seed, 4])
    batch, teacher_heads, student_heads, queries, keys = _MIDDLE
    teacher, student = _maps(rng, _MIDDLE)
    causal = np.arange(keys) <= np.arange(queries)[:, np.newaxis] + 1
    lengths = keys - 1 - np.arange(batch)
    padded = (np.arange(keys) < lengths[:, np.newaxis])[:, np.newaxis, np.newaxis]
    looked_at = rng.integers(0, keys, (batch, student_heads, queries))
    follows = rng.integers(0, student_heads, (batch, teacher_heads, queries))
    hot, elsewhere = (
        np.eye(keys)[one] for one in (looked_at, rng.integers(0, keys, teacher.shape[:3]))
    )
    followed = np.take_along_axis(hot, follows[..., np.newaxis], axis=1)
    cases = [
        Case("edge/causal", _within(teacher, causal), _within(student, causal)),
        Case("edge/padded", _within(teacher, padded), _within(student, padded)),
        Case("edge/one-hot-teacher", elsewhere, student),
        Case("edge/one-hot", followed, hot),
    ]
    return [prepared(case, terms, seed) for case in cases]


def long_maps(terms: Terms, seed: int) -> list[Case]:
    """Three thousand cells a head: a sum that half precision takes cell by cell stops growing."""
    if terms.variant == "projected":  # whose weight would have 9 million cells
        return []
    rng = np.random.default_rng([seed, 5])
    batch, teacher_heads, student_heads, queries, keys = _LONG
    maps = []
    for heads in (teacher_heads, student_heads):
        place = np.arange(keys) * heads // keys == np.arange(heads)[:, np.newaxis]
        rows = np.where(place[:, np.newaxis], _BUMP, 1.0) * (
            1 + rng.random((batch, heads, queries, keys))
        )
        maps.append(rows / rows.sum(axis=-1, keepdims=True))
    return [terms.applied_to(Case("long", maps[0], maps[1][:, ::-1].copy()))]


def garbage_cases(terms: Terms, seed: int, fitting: Fitting) -> list[Case]:
    """Masked cells that hold NaN, infinity and huge numbers, on both sides."""
    rng = np.random.default_rng([seed, 2])
    teacher, student = _maps(rng, _MIDDLE)
    mask = np.ones((2, 4, 5), dtype=bool)
    mask[0, :, 4], mask[1, 2, :] = False, False
    clean = fitting(prepared(Case("garbage", teacher, student, mask=mask), terms, seed))
    valid = broadcast_mask(clean.mask, clean.student.shape)[:, np.newaxis]
    cases = []
    for filling in GARBAGE:
        dirty = [np.where(valid, maps, filling) for maps in (clean.teacher, clean.student)]
        cases.append(
            replace(clean, name=f"garbage/{filling:g}", teacher=dirty[0], student=dirty[1])
        )
    return cases


def padding_pair(terms: Terms, seed: int, fitting: Fitting) -> tuple[Case, Case]:
    """Maps without padding, and the same with two padded queries and two padded keys."""
    rng = np.random.default_rng([seed, 3])
    bare = Case("padding/without", *_maps(rng, _SMALL), mask=np.ones((2, 2, 3), dtype=bool))
    bare = fitting(prepared(bare, terms, seed))
    padded_maps = [
        np.pad(maps, ((0, 0), (0, 0), (0, 2), (0, 2)), constant_values=0.25)
        for maps in (bare.teacher, bare.student)
    ]
    mask = np.pad(broadcast_mask(bare.mask, bare.student.shape), ((0, 0), (0, 2), (0, 2)))
    padded = Case("padding/with", padded_maps[0], padded_maps[1], mask=mask)
    if bare.weight is None or bare.bias is None:
        return bare, prepared(padded, terms, seed)
    cells = mask[0].size
    weight, bias = np.zeros((cells, cells)), np.zeros(cells)
    inside = np.flatnonzero(mask[0])
    weight[np.ix_(inside, inside)], bias[inside] = bare.weight, bare.bias
    return bare, terms.applied_to(replace(padded, weight=weight, bias=bias))


def infinite_cases(terms: Terms, seed: int) -> list[Case]:
    """Teacher mass where the mixture has none: the exact KL divergence is infinite."""
    teacher = np.array([[[[0.75, 0.25]]]])
    student = np.array([[[[1.0, 0.0]], [[0.5, 0.0]]]])
    case = terms.applied_to(Case("infinite", teacher, student))
    if terms.variant == "projected":
        case = replace(case, weight=np.eye(2), bias=np.zeros(2))
    return [case]


def prepared(case: Case, terms: Terms, seed: int) -> Case:
    """The case with the options of the terms, and a projection where the variant has one."""
    case = terms.applied_to(case)
    if case.variant != "projected":
        return case
    weight, bias = positive_projection(case, seed, cut=True)
    return replace(case, weight=weight, bias=bias)


def rounded(case: Case, dtype: str) -> Case:
    """The case with maps (and projection) rounded to ``dtype``, still held in float64.

    Rounding inputs is no mistake of the port: the specification gets the same rounded inputs.
    """
    if dtype == "float64":
        return case
    arrays = {name: getattr(case, name) for name in ("teacher", "student", "weight", "bias")}
    changed: dict[str, Any] = {
        name: rounded_array(array, dtype) for name, array in arrays.items() if array is not None
    }
    return replace(case, **changed)


def rounded_array(array: FloatArray, dtype: str) -> FloatArray:
    """The numbers of ``dtype`` next to those of the array, held in float64."""
    with np.errstate(all="ignore"):
        if dtype != "bfloat16":
            return array.astype(dtype).astype(np.float64)
        bits = array.astype(np.float32).view(np.uint32)
        # To nearest, ties to even: bfloat16 is the upper half of float32.
        nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
        kept = np.where(np.isfinite(array), nearest, bits).astype(np.uint32)
        return kept.view(np.float32).astype(np.float64)


def _within(maps: FloatArray, support: BoolArray) -> FloatArray:
    """Rows of multiples of 1/256 in these proportions that sum to 1, 0 outside the support."""
    weights = np.where(support, maps, 0.0)
    counted = np.broadcast_to(support, maps.shape)
    share = (STEPS - counted.sum(axis=-1, keepdims=True)) / weights.sum(axis=-1, keepdims=True)
    cells = counted + np.floor(weights * share)
    cells[..., 0] += STEPS - cells.sum(axis=-1)
    return np.asarray(cells / STEPS)


def _maps(rng: np.random.Generator, sizes: Sequence[int]) -> tuple[FloatArray, FloatArray]:
    batch, teacher_heads, student_heads, queries, keys = sizes
    shapes = ((batch, heads, queries, keys) for heads in (teacher_heads, student_heads))
    maps = [quantised(np.exp(1.5 * rng.normal(size=shape))) for shape in shapes]
    return maps[0], maps[1]
