"""Mistakes with masks."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from amad_core.attention.inputs import BoolArray
from amad_core.conformance.diagnosis.arrays import Array
from amad_core.conformance.diagnosis.mistakes.mistake import (
    MASKS,
    Form,
    Mistake,
    one,
)
from amad_core.conformance.diagnosis.mistakes.normalisation import rows_renormalised
from amad_core.conformance.diagnosis.pipeline import (
    Mutation,
    Problem,
    Replace,
    Stage,
    Wrap,
    after,
)

_NOT_PROJECTED = ("mse", "kl", "js", "token")


def _unmasked(problem: Problem, maps: Array) -> Array:
    return maps


def _another_mask(change: Callable[[BoolArray], BoolArray], always: bool = False) -> Mutation:
    """``always``: without a mask, too, as of a port that must be given one."""

    def inputs(inner: Stage, problem: Problem, teacher: Array, student: Array) -> Any:
        problem, teacher, student = inner(problem, teacher, student)
        if not (problem.masked or always):
            return problem, teacher, student
        return replace(problem, valid=change(problem.valid), masked=True), teacher, student

    return {"inputs": Wrap(inputs)}


def _any_key(valid: BoolArray) -> BoolArray:
    return np.broadcast_to(valid.any(axis=2, keepdims=True), valid.shape)


def _any_query(valid: BoolArray) -> BoolArray:
    return np.broadcast_to(valid.any(axis=1, keepdims=True), valid.shape)


def _of_the_first(valid: BoolArray) -> BoolArray:
    return np.broadcast_to(valid[:1], valid.shape)


def _key_mask_on_queries(valid: BoolArray) -> BoolArray:
    if valid.shape[1] != valid.shape[2]:
        raise ValueError("a key mask fits the queries only of square maps")
    return np.swapaxes(_any_query(valid), 1, 2)


def _transposed(valid: BoolArray) -> BoolArray:
    if valid.shape[1] != valid.shape[2]:
        raise ValueError("only a square mask can be transposed unnoticed")
    return np.swapaxes(valid, 1, 2)


def _only_terms() -> Mutation:
    """The mask takes cells out of the divergence only; norms and weights saw all cells."""

    def terms(inner: Stage, problem: Problem, target: Array, mixture: Array) -> Array:
        return problem.arrays.where(problem.valid_heads, inner(problem, target, mixture), 0.0)

    return {
        "teacher_mask": Replace(_unmasked),
        "student_mask": Replace(_unmasked),
        "terms": Wrap(terms),
    }


def _zeroed(problem: Problem, heads: Array) -> Array:
    return problem.arrays.where(problem.valid_heads, heads, 0.0)


_AFTER_NORMS: Mutation = {
    "teacher_mask": Replace(_unmasked),
    "student_mask": Replace(_unmasked),
    "teacher_unit": after(_zeroed),
    "student_unit": after(_zeroed),
    "target": after(_zeroed),
    "mixed_in": after(_zeroed),
}
_AFTER_NORMS_OF_DIVERGENCE: Mutation = {
    "teacher_mask": Replace(_unmasked),
    "student_mask": Replace(_unmasked),
    "target": after(_zeroed),
    "mixed_in": after(_zeroed),
}


def _masked_first(stage_name: str) -> Wrap:
    def unit(inner: Stage, problem: Problem, heads: Array) -> Array:
        return inner(problem, _zeroed(problem, heads))

    return Wrap(unit)


_IN_ALIGNMENT_ONLY: Mutation = {
    "teacher_mask": Replace(_unmasked),
    "student_mask": Replace(_unmasked),
    "teacher_unit": _masked_first("teacher_unit"),
    "student_unit": _masked_first("student_unit"),
}
_IN_DIVERGENCE_ONLY: Mutation = {
    "teacher_mask": Replace(_unmasked),
    "student_mask": Replace(_unmasked),
    "target": _masked_first("target"),
    "mixed_in": _masked_first("mixed_in"),
}


def _filled(value: float) -> Mutation:
    def fill(problem: Problem, maps: Array) -> Array:
        return problem.arrays.where(problem.valid[:, np.newaxis], maps, value)

    return {"teacher_mask": Replace(fill), "student_mask": Replace(fill)}


def _added(value: float) -> Mutation:
    def add(problem: Problem, maps: Array) -> Array:
        bias = np.where(problem.valid[:, np.newaxis], 0.0, value)
        return maps + problem.arrays.constant(bias)

    return {"teacher_mask": Replace(add), "student_mask": Replace(add)}


def _nan_when_empty(problem: Problem, losses: Array) -> Array:
    empty = ~problem.valid.any(axis=(1, 2))
    return problem.arrays.where(empty, losses * float("nan"), losses)


def _over_samples_that_count(problem: Problem, losses: Array) -> Array:
    return problem.arrays.sum(losses, 0) / max(int(problem.valid.any(axis=(1, 2)).sum()), 1)


MISTAKES = (
    Mistake(
        name="mask-ignored",
        sentence="The mask is not used: padded cells count.",
        symptom="7 to 26 % too large on padded batches; the value depends on the padding.",
        mend="Set masked cells of both maps to 0 before norms, inner products and sums.",
        evidence="Measured. optipfair #34: conclusions of an ablation reversed.",
        forms=one(_another_mask(np.ones_like)),
        found_by=MASKS,
    ),
    Mistake(
        name="mask-inverted",
        sentence="The mask is read the wrong way round: the cells that count are left out. An "
        "additive mask (0 keeps, -inf drops) read as boolean does the same.",
        symptom="The loss is that of the padding.",
        mend="True means that a cell counts; masked_fill wants the opposite: maps.masked_fill("
        "~mask, 0).",
        evidence="torch's masked_fill and key_padding_mask take true for 'drop'.",
        forms=(
            Form("", _another_mask(np.logical_not)),
            Form(
                "all cells, where none is masked",
                _another_mask(np.logical_not, always=True),
                in_pairs=False,
            ),
        ),
        found_by=MASKS,
    ),
    Mistake(
        name="mask-after-normalisation",
        sentence="Maps are normalised first and masked afterwards; the masked cells still count "
        "in the norms.",
        symptom="17 to 20 % too small on padded batches.",
        mend="Mask first, then normalise.",
        evidence="Measured: 0.80 (mse), 0.83 (kl).",
        variants=_NOT_PROJECTED,
        forms=(
            Form("normalised maps are masked", _AFTER_NORMS),
            Form("only those of the divergence are", _AFTER_NORMS_OF_DIVERGENCE),
            Form("only the terms of the divergence are", _only_terms()),
        ),
        found_by=MASKS,
    ),
    Mistake(
        name="mask-on-one-map",
        sentence="The mask is applied to one of the two maps only.",
        symptom="Padding of the other map counts in norms and divergence.",
        mend="Mask teacher and student alike.",
        forms=(
            Form("teacher", {"student_mask": Replace(_unmasked)}),
            Form("student", {"teacher_mask": Replace(_unmasked)}),
        ),
        found_by=MASKS,
    ),
    Mistake(
        name="mask-on-queries-only",
        sentence="Only whole query rows are masked; masked keys count.",
        symptom="Seen where keys are masked that still hold attention.",
        mend="A cell counts where its query and its key count.",
        forms=one(_another_mask(_any_key)),
        found_by=MASKS,
    ),
    Mistake(
        name="mask-on-keys-only",
        sentence="Only keys are masked; padded query rows count.",
        symptom="Looks harmless, as padded keys hold no attention anyway: the same as no mask.",
        mend="Query rows of padding still sum to 1 in every model: mask them as well.",
        evidence="Measured: 1.0949, as without mask.",
        forms=one(_another_mask(_any_query)),
        found_by=MASKS,
    ),
    Mistake(
        name="key-mask-on-queries",
        sentence="The mask of the keys is applied to the queries (or queries and keys of the mask "
        "are exchanged).",
        symptom="Runs on square maps only; wrong where both lengths differ.",
        mend="Mask [B, Q, K]: query axis before key axis.",
        forms=(
            Form("keys' mask on queries", _another_mask(_key_mask_on_queries)),
            Form("mask transposed", _another_mask(_transposed)),
        ),
        found_by=MASKS,
    ),
    Mistake(
        name="mask-in-the-alignment-only",
        sentence="The mask is used for the weights and not for the divergence.",
        symptom="Padded cells count in the divergence.",
        mend="Mask both maps once, before everything.",
        variants=_NOT_PROJECTED,
        forms=one(_IN_ALIGNMENT_ONLY),
        found_by=MASKS,
    ),
    Mistake(
        name="mask-in-the-divergence-only",
        sentence="The mask is used for the divergence and not for the weights.",
        symptom="Small: weights see the padding.",
        mend="Mask both maps once, before everything.",
        variants=_NOT_PROJECTED,
        forms=one(_IN_DIVERGENCE_ONLY),
        found_by=MASKS,
    ),
    Mistake(
        name="masked-rows-renormalised",
        sentence="After masking, every query row is scaled to sum to 1 again.",
        symptom="Rows that lost mass to masked keys weigh too much.",
        mend="Nothing is renormalised by hand: mask, then one norm for the whole map.",
        evidence="See the mask order in the specification.",
        variants=("mse", "kl", "js", "projected"),
        forms=(
            Form(
                "where there is a mask",
                {
                    "teacher_mask": after(
                        lambda problem, maps: (
                            rows_renormalised(problem, maps) if problem.masked else maps
                        )
                    ),
                    "student_mask": after(
                        lambda problem, maps: (
                            rows_renormalised(problem, maps) if problem.masked else maps
                        )
                    ),
                },
            ),
        ),
        found_by=MASKS,
    ),
    Mistake(
        name="masked-cells-filled",
        sentence="Masked cells are filled with a number (as scores are before a softmax) instead "
        "of 0.",
        symptom="Huge or negative values (-1e9), or a small shift (1e-9).",
        mend="Maps are probabilities: fill with 0.",
        variants=_NOT_PROJECTED,
        forms=(
            Form("-1e9", _filled(-1e9)),
            Form("-1e4", _filled(-1e4)),
            Form("-inf", _filled(float("-inf"))),
            Form("1e-9", _filled(1e-9)),
            Form("1e-6", _filled(1e-6)),
            Form("-1e9 added", _added(-1e9)),
            Form("-1e4 added", _added(-1e4)),
            Form("1 added (mask added, inverted)", _added(1.0)),
        ),
        found_by=MASKS,
    ),
    Mistake(
        name="mask-by-product",
        sentence="Masked cells are multiplied by 0; where one holds NaN or infinity, that is NaN.",
        symptom="Right until a padded cell is not finite, as the softmax of a row without keys is; "
        "then value or gradient is NaN.",
        mend="Take cells out with where (masked_fill), not by a product.",
        evidence="NaN * 0 is NaN.",
        found_by=MASKS,
    ),
    Mistake(
        name="mask-of-the-first-sample",
        sentence="All samples are masked with the mask of the first one.",
        symptom="Right where all samples have the same length.",
        mend="Keep the batch axis of the mask.",
        forms=one(_another_mask(_of_the_first)),
        found_by=MASKS,
    ),
    Mistake(
        name="empty-sample-nan",
        sentence="A sample without any cell that counts gives NaN (0/0) instead of 0.",
        symptom="One empty sample makes the whole batch NaN.",
        mend="Divide by max(norm, tiny): an empty map is all zeros and adds 0.",
        evidence="pytorch #41508 for rows without a key.",
        forms=one({"per_sample": after(_nan_when_empty)}),
        found_by=MASKS,
    ),
    Mistake(
        name="empty-samples-left-out",
        sentence="Samples without any cell that counts are left out of the mean over the batch.",
        symptom="Too large by B over the number of other samples.",
        mend="They add 0 and count in the mean.",
        forms=(
            Form(
                "",
                {
                    "reduced": Wrap(
                        lambda inner, problem, losses: (
                            _over_samples_that_count(problem, losses)
                            if problem.reduction == "mean"
                            else inner(problem, losses)
                        )
                    )
                },
            ),
        ),
        found_by=MASKS,
    ),
)
