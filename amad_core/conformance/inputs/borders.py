"""Cases of the kit's own: borders, garbage under the mask, padding, infinite losses."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from amad_core.attention.inputs import FloatArray
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.inputs.designed import quantised
from amad_core.conformance.inputs.projections import positive_projection
from amad_core.conformance.inputs.terms import Terms

Sizes = tuple[int, int, int, int, int]
"""Batch, teacher heads, student heads, queries, keys."""

GARBAGE = (float("nan"), float("inf"), 1e30)
"""What cells that a mask takes out may hold without any influence."""


def edge_cases(terms: Terms, seed: int) -> list[Case]:
    """One sample, head, query or key; equal heads; one-hot rows; zeros that both sides share."""
    rng = np.random.default_rng([seed, 1])
    sizes: dict[str, Sizes] = {
        "edge/one-sample": (1, 3, 2, 2, 3),
        "edge/one-teacher-head": (2, 1, 3, 2, 3),
        "edge/one-student-head": (2, 3, 1, 2, 3),
        "edge/one-query": (2, 3, 2, 1, 3),
        "edge/one-key": (2, 3, 2, 3, 1),
        "edge/one-cell": (1, 1, 1, 1, 1),
    }
    cases = [Case(name, *_maps(rng, size)) for name, size in sizes.items()]
    teacher, student = _maps(rng, (2, 3, 2, 2, 3))
    cases.append(Case("edge/equal-heads", teacher, np.repeat(student[:, :1], 2, axis=1)))
    cases.append(Case("edge/student-is-teacher", teacher, teacher.copy()))
    hot = np.eye(3)[rng.integers(0, 3, (2, 3, 2))]
    cases.append(Case("edge/one-hot-teacher", hot, student))
    shared = np.where(np.arange(3) < 2, 0.5, 0.0) * np.ones((2, 3, 2, 3))
    skewed = np.where(np.arange(3) < 2, np.array([0.75, 0.25, 0.0]), 0.0) * np.ones((2, 2, 2, 3))
    cases.append(Case("edge/shared-zeros", shared, skewed))
    return [prepared(case, terms, seed) for case in cases]


def garbage_cases(terms: Terms, seed: int) -> list[Case]:
    """Masked cells that hold NaN, infinity and huge numbers, on both sides."""
    rng = np.random.default_rng([seed, 2])
    teacher, student = _maps(rng, (2, 3, 2, 3, 4))
    mask = np.ones((2, 3, 4), dtype=bool)
    mask[0, :, 3], mask[1, 2, :] = False, False
    clean = prepared(Case("garbage", teacher, student, mask=mask), terms, seed)
    cases = []
    for filling in GARBAGE:
        dirty = [np.where(mask[:, np.newaxis], maps, filling) for maps in (teacher, student)]
        cases.append(
            replace(clean, name=f"garbage/{filling:g}", teacher=dirty[0], student=dirty[1])
        )
    return cases


def padding_pair(terms: Terms, seed: int) -> tuple[Case, Case]:
    """Maps without padding, and the same with two padded queries and three padded keys."""
    rng = np.random.default_rng([seed, 3])
    bare = Case("padding/without", *_maps(rng, (2, 3, 2, 3, 4)))
    padded_maps = [
        np.pad(maps, ((0, 0), (0, 0), (0, 2), (0, 3)), constant_values=0.25)
        for maps in (bare.teacher, bare.student)
    ]
    mask = np.zeros((2, 5, 7), dtype=bool)
    mask[:, :3, :4] = True
    bare = prepared(replace(bare, mask=np.ones((2, 3, 4), dtype=bool)), terms, seed)
    padded = Case("padding/with", padded_maps[0], padded_maps[1], mask=mask)
    if bare.weight is None or bare.bias is None:
        return bare, prepared(padded, terms, seed)
    weight, bias = np.zeros((35, 35)), np.zeros(35)
    inside = np.flatnonzero(mask[0])
    weight[np.ix_(inside, inside)], bias[inside] = bare.weight, bare.bias
    return bare, terms.applied_to(replace(padded, weight=weight, bias=bias))


def infinite_cases(terms: Terms, seed: int) -> list[Case]:
    """Teacher mass where the mixture has none: the exact KL divergence is infinite."""
    teacher = np.array([[[[0.5, 0.25, 0.25]]]])
    student = np.array([[[[0.5, 0.5, 0.0]], [[0.25, 0.75, 0.0]]]])
    case = terms.applied_to(Case("infinite", teacher, student))
    if terms.variant == "projected":
        case = replace(case, weight=np.eye(3), bias=np.zeros(3))
    return [case]


def prepared(case: Case, terms: Terms, seed: int) -> Case:
    """The case with the options claimed, and a projection where the variant has one."""
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


def _maps(rng: np.random.Generator, sizes: Sequence[int]) -> tuple[FloatArray, FloatArray]:
    batch, teacher_heads, student_heads, queries, keys = sizes
    shapes = ((batch, heads, queries, keys) for heads in (teacher_heads, student_heads))
    maps = [quantised(np.exp(1.5 * rng.normal(size=shape))) for shape in shapes]
    return maps[0], maps[1]
