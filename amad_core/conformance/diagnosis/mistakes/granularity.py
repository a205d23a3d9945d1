"""Mistakes in what is compared: whole maps, rows, single heads, means of heads."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from amad_core.conformance.diagnosis.arrays import Array
from amad_core.conformance.diagnosis.mistakes.mistake import (
    ALL,
    PROBABILITIES,
    WHOLE_MAP,
    Form,
    Mistake,
    one,
)
from amad_core.conformance.diagnosis.mistakes.reduction import means_over, valid_rows
from amad_core.conformance.diagnosis.mistakes.similarity import both_mixed_in, rows_of
from amad_core.conformance.diagnosis.pipeline import (
    Mutation,
    Problem,
    Replace,
    Stage,
    Wrap,
    after,
    as_it_is,
    divided,
    l1_normalise,
    l2_normalise,
    variant_normalise,
)


def _by_row(problem: Problem, heads: Array) -> Array:
    return problem.arrays.swapaxes(rows_of(problem, heads), 1, 2)


def _unit_of_rows(problem: Problem, heads: Array) -> Array:
    return l2_normalise(problem, _by_row(problem, heads))


def _mixed_by_row(problem: Problem, weights: Array, student: Array) -> Array:
    mixture = weights @ _by_row(problem, student)
    shape = (student.shape[0], -1, student.shape[-1])
    return problem.arrays.reshape(problem.arrays.swapaxes(mixture, 1, 2), shape)


def _whole(problem: Problem, heads: Array) -> Array:
    maps = problem.arrays.swapaxes(heads, 1, 2)
    return problem.arrays.reshape(maps, (maps.shape[0], maps.shape[1], -1))


def _unit_of_maps(problem: Problem, heads: Array) -> Array:
    return l2_normalise(problem, _whole(problem, heads))


def _one_weight_for_rows(problem: Problem, weights: Array, student: Array) -> Array:
    return weights[:, None] @ student


def row_normalised(axis: int) -> Stage:
    """Every row (or column, ``axis=-2``) of whole maps divided by its own norm."""

    def normalised(problem: Problem, heads: Array) -> Array:
        maps = rows_of(problem, heads)
        if axis == -2:
            maps = problem.arrays.swapaxes(maps, -1, -2)
        maps = variant_normalise(problem, maps)
        if axis == -2:
            maps = problem.arrays.swapaxes(maps, -1, -2)
        return problem.arrays.reshape(maps, tuple(heads.shape))

    return normalised


def _over_the_whole(problem: Problem, rows: Array) -> Array:
    return divided(problem, rows, problem.arrays.sum(rows, (1, 3), True))


def _switched(by_row: bool) -> Wrap:
    def inputs(inner: Stage, problem: Problem, teacher: Array, student: Array) -> Any:
        problem, teacher, student = inner(problem, teacher, student)
        return replace(problem, by_row=by_row), teacher, student

    return Wrap(inputs)


def _mean_head(inner: Stage, problem: Problem, maps: Array) -> Array:
    maps = inner(problem, maps)
    axis = -2
    return problem.arrays.sum(maps, axis, True) / maps.shape[axis]


def _pairs(problem: Problem, weights: Array, student: Array) -> Any:
    return weights, student


def _terms_of_pairs(inner: Stage, problem: Problem, target: Array, pairs: Any) -> Array:
    weights, student = pairs
    terms = inner(
        problem,
        target[..., :, None, :] + 0.0 * student[..., None, :, :],
        student[..., None, :, :] + 0.0 * target[..., :, None, :],
    )
    return problem.arrays.sum(weights[..., None] * terms, -2)


DIVERGENCE_OF_PAIRS: Mutation = {"mixture": Replace(_pairs), "terms": Wrap(_terms_of_pairs)}
"""The weighted mean of divergences to single student heads, for that to their mixture."""

_MIXED_THEN_BY_ROW: Mutation = {
    "target": Replace(row_normalised(-1)),
    "mixed_in": Replace(as_it_is),
    "mixture": after(row_normalised(-1)),
}
_ROWS: Mapping[str, Mutation] = {
    "": both_mixed_in(as_it_is),
    "every row divided by its sum": both_mixed_in(row_normalised(-1)),
    "every row divided by its sum, after mixing maps as they come": _MIXED_THEN_BY_ROW,
}

MISTAKES = (
    Mistake(
        name="row-weights-for-whole-maps",
        sentence="The weights are computed for every query row on its own; this variant has one "
        "set of weights for the whole map.",
        symptom="3 to 11 % too small on random maps, right where all rows agree.",
        mend="Flatten [Q, K] before the cosines; row-wise weights belong to the variant token.",
        evidence="Measured: value 0.89 to 0.97.",
        variants=WHOLE_MAP,
        forms=one(
            {
                "teacher_unit": Replace(_unit_of_rows),
                "student_unit": Replace(_unit_of_rows),
                "mixture": Replace(_mixed_by_row),
            }
        ),
    ),
    Mistake(
        name="whole-map-weights-for-rows",
        sentence="The variant token uses the weights of the whole map for every row; it has "
        "weights of its own for every row.",
        symptom="3 to 25 % too large; the more, the more rows follow different heads.",
        mend="Cosines and softmax row by row: weights [B, Q, Ht, Hs].",
        evidence="Measured: value 1.03 to 1.25. A misprint in eq. 12 (T for T_l) invites it.",
        variants=("token",),
        forms=one(
            {
                "teacher_unit": Replace(_unit_of_maps),
                "student_unit": Replace(_unit_of_maps),
                "mixture": Replace(_one_weight_for_rows),
            }
        ),
    ),
    Mistake(
        name="normalised-by-row",
        sentence="Maps are normalised row by row (or column by column) before the divergence; "
        "this variant normalises the whole map once.",
        symptom="kl and js exactly Q times too large on unmasked softmax maps; mse 4 to 7 times.",
        mend="Flatten [Q, K], then divide by one norm a head.",
        evidence="Measured: exactly the number of queries.",
        variants=WHOLE_MAP,
        forms=(
            Form("rows", both_mixed_in(row_normalised(-1))),
            Form("columns", both_mixed_in(row_normalised(-2))),
            Form("rows, after mixing maps as they come", _MIXED_THEN_BY_ROW),
        ),
    ),
    Mistake(
        name="mean-of-row-divergences",
        sentence="Rows are compared one by one, without the L1 norm of the whole map, and "
        "averaged: the same only while every row sums to 1.",
        symptom="Right values on unmasked softmax maps, and a gradient that differs by a constant; "
        "wrong where a mask, a crop or dropout took mass out of rows.",
        mend="Divide every flattened head by its sum, then sum over all cells.",
        evidence="Row-wise kl_div is what one-to-one attention losses do.",
        variants=("kl", "js"),
        forms=tuple(
            Form(", ".join(filter(None, (rows, mean.label))), {**mutation, **mean.mutation})
            for rows, mutation in _ROWS.items()
            for mean in means_over(valid_rows, lambda problem: problem.queries, False)
        ),
    ),
    Mistake(
        name="normalised-over-the-map-in-token",
        sentence="The variant token divides rows by the mass of the whole map; it normalises "
        "every row on its own.",
        symptom="Exactly Q times too small on unmasked softmax maps.",
        mend="L1-normalise along the last axis, the keys of one query.",
        variants=("token",),
        forms=one(both_mixed_in(_over_the_whole)),
    ),
    Mistake(
        name="rows-for-whole-maps",
        sentence="Everything (weights, normalisation, divergence) is computed query row by query "
        "row: that is the variant token.",
        symptom="Values grow with the number of queries.",
        mend="Flatten [Q, K] to one vector a head first.",
        variants=("mse", "kl", "js"),
        forms=(
            Form("summed over rows", {"inputs": _switched(True)}),
            Form(
                "averaged over rows",
                {
                    "inputs": _switched(True),
                    "per_sample": after(lambda problem, losses: losses / problem.queries),
                },
            ),
        ),
    ),
    Mistake(
        name="whole-maps-for-rows",
        sentence="The variant token is computed on whole maps: that is the variant kl.",
        symptom="About Q times too small, and blind to rows that follow different heads.",
        mend="Compute weights and divergence for every query row, and sum over the rows.",
        variants=("token",),
        forms=one({"inputs": _switched(False)}),
    ),
    Mistake(
        name="heads-averaged-first",
        sentence="Heads are averaged before they are compared.",
        symptom="3 to 27 % of the right value; heads that differ cancel out.",
        mend="Keep the head axis; align every teacher head with all student heads.",
        evidence="Measured. ParlAI #3447, TinyBERT #76 for head-count shortcuts.",
        forms=(
            Form(
                "teacher and student",
                {"teacher_layout": Wrap(_mean_head), "student_layout": Wrap(_mean_head)},
            ),
            Form("teacher", {"teacher_layout": Wrap(_mean_head)}),
            Form(
                "teacher and student, times the heads",
                {
                    "teacher_layout": Wrap(_mean_head),
                    "student_layout": Wrap(_mean_head),
                    "per_sample": after(lambda problem, losses: losses * problem.teacher_heads),
                },
            ),
        ),
    ),
    Mistake(
        name="divergence-of-pairs",
        sentence="The divergences to the single student heads are averaged with the weights; "
        "AMAD takes the divergence to the mixture.",
        symptom="Always too large (the divergence is convex), most where heads differ.",
        mend="First mix the student heads, m_i = sum_j a_ij s_j, then take one divergence a "
        "teacher head.",
        evidence="Jensen's inequality.",
        variants=ALL,
        same_as=("mixture-of-logarithms",),
        forms=one(DIVERGENCE_OF_PAIRS),
    ),
    Mistake(
        name="mixture-of-l2-maps",
        sentence="L2-normalised student heads are mixed and the mixture is then L1-normalised.",
        symptom="Under 0.5 % on random maps, 4 % where one student head is sharp.",
        mend="L1-normalise the student heads before mixing.",
        evidence="Measured: 0.996 to 1.000 on random maps, 1.036 on heads of mixed sharpness.",
        variants=PROBABILITIES,
        forms=one({"mixed_in": Replace(l2_normalise), "mixture": after(l1_normalise)}),
    ),
)
