"""Mistakes that leave out cells by their size."""

from typing import Any

import numpy as np

from amad_core.conformance.diagnosis.arrays import Array
from amad_core.conformance.diagnosis.mistakes.mistake import ALL, Form, Mistake
from amad_core.conformance.diagnosis.pipeline import (
    Mutation,
    Problem,
    Stage,
    Wrap,
    after,
    l1_normalise,
)

_COUNTS = (*range(1, 21), 24, 25, 30, 32)
_OFTEN = (8, 5)
_OF_A_ROW = 6
"""Rows of the designed inputs have few cells: more of them would be all."""
_WHOLE = ("mse", "kl", "js", "projected")
_THRESHOLDS = (1e-2, 1e-3, 2e-2, 5e-2, 1e-1)


def _cut(threshold: float) -> Mutation:
    def masked(problem: Problem, maps: Array) -> Array:
        return problem.arrays.where(problem.arrays.values(maps) > threshold, maps, 0.0)

    return {"teacher_mask": after(masked), "student_mask": after(masked)}


def _largest(problem: Problem, heads: Array, count: int, rows: bool) -> tuple[Any, bool]:
    """Where the ``count`` largest cells of every head (or row) are, and whether equal ones decide.

    Libraries differ in which of equal cells they take.
    """
    values = problem.arrays.values(heads)
    shape = values.shape
    if rows and not problem.by_row:
        values = values.reshape(*shape[:-1], problem.queries, problem.keys)
    if count >= values.shape[-1]:
        return np.ones(shape, dtype=bool), False
    ordered = -np.sort(-values, axis=-1)
    last, next_one = ordered[..., count - 1 : count], ordered[..., count : count + 1]
    return (values >= last).reshape(shape), bool(np.any((last == next_one) & (last > 0)))


def _largest_only(count: int, rows: bool, renormalised: str) -> Mutation:
    """The terms of the teacher's largest cells; who is ``renormalised`` over them first."""

    def terms(inner: Stage, problem: Problem, target: Array, mixture: Array) -> Array:
        kept, ties = _largest(problem, target, count, rows)
        cut = [problem.arrays.where(kept, heads, 0.0) for heads in (target, mixture)]
        if renormalised:
            cut[0] = l1_normalise(problem, cut[0])
        if renormalised == "both":
            cut[1] = l1_normalise(problem, cut[1])
        left = problem.arrays.where(kept, inner(problem, *cut), 0.0)
        return left * float("nan") if ties else left

    return {"terms": Wrap(terms)}


def _ways() -> tuple[Form, ...]:
    endings = {"": "", "teacher": ", the teacher renormalised", "both": ", both renormalised"}
    return tuple(
        Form(
            f"{count} of {'every row' if rows else 'the map'}{ending}",
            _largest_only(count, rows, renormalised),
            _WHOLE if rows or count > _OF_A_ROW else ALL,
            in_pairs=count in _OFTEN and not rows,
        )
        for rows in (False, True)
        for renormalised, ending in endings.items()
        for count in _COUNTS
        if not (rows and count > _OF_A_ROW)
    )


MISTAKES = (
    Mistake(
        name="small-cells-cut",
        sentence="Cells below a threshold are set to 0, as if masked.",
        symptom="Mass is lost in flat maps; kl can be infinite.",
        mend="Masks come from the caller, not from the size of a cell.",
        evidence="TextBrewer takes scores below -1e-3 for masked, which are half of all scores.",
        forms=tuple(Form(f"threshold {size:g}", _cut(size)) for size in _THRESHOLDS),
    ),
    Mistake(
        name="largest-cells-only",
        sentence="Only the largest cells of the teacher are compared.",
        symptom="Too small, or negative where what is left is not normalised again; right on maps "
        "with no more cells than are kept.",
        mend="Compare all cells: the divergence is one of whole distributions.",
        evidence="topk and gather, as losses over large vocabularies do.",
        forms=_ways(),
    ),
)
