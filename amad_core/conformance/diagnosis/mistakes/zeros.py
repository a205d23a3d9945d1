"""Mistakes with cells that are exactly 0."""

import numpy as np

from amad_core.conformance.diagnosis.arrays import Array
from amad_core.conformance.diagnosis.mistakes.mistake import (
    GRADIENTS,
    KL,
    PROBABILITIES,
    Form,
    Mistake,
)
from amad_core.conformance.diagnosis.pipeline import Mutation, Problem, Replace, Stage, after


def _naive_quotient(problem: Problem, target: Array, mixture: Array) -> Array:
    return target * problem.arrays.log(target / mixture)


def _naive_difference(problem: Problem, target: Array, mixture: Array) -> Array:
    return target * (problem.arrays.log(target) - problem.arrays.log(mixture))


def _naive_js(problem: Problem, target: Array, mixture: Array) -> Array:
    half = (target + mixture) / 2
    return (_naive_quotient(problem, target, half) + _naive_quotient(problem, mixture, half)) / 2


def _single_where(naive: Stage) -> Replace:
    def terms(problem: Problem, target: Array, mixture: Array) -> Array:
        values = naive(problem, target, mixture)
        return problem.arrays.where(~np.isnan(problem.arrays.values(values)), values, 0.0)

    return Replace(terms)


def _zero_for_nan(problem: Problem, losses: Array) -> Array:
    return problem.arrays.where(np.isnan(problem.arrays.values(losses)), 0.0, losses)


def _hidden(naive: Stage, stage_name: str) -> Mutation:
    return {"terms": Replace(naive), stage_name: after(_zero_for_nan)}


_NAIVE = (
    ("logarithm of the quotient", _naive_quotient, KL),
    ("difference of logarithms", _naive_difference, KL),
    ("in both halves", _naive_js, ("js",)),
)
_SUMS = (("heads", "per_head"), ("samples", "per_sample"), ("the whole loss", "reduced"))

MISTAKES = (
    Mistake(
        name="zero-times-log-of-zero",
        sentence="0 log 0 is computed as it stands and gives NaN.",
        symptom="NaN as soon as the teacher has a zero: causal maps, masks.",
        mend="Define 0 log 0 = 0: replace the argument of the logarithm where the factor is 0.",
        evidence="LMOps #38, pytorch #41508, mlx #2608.",
        variants=PROBABILITIES,
        forms=tuple(
            Form(label, {"terms": Replace(naive)}, kinds) for label, naive, kinds in _NAIVE
        ),
    ),
    Mistake(
        name="nan-gradient-behind-where",
        sentence="NaN terms are replaced after they were computed (where, nan_to_num): the value "
        "is mended, the gradient is not.",
        symptom="Right value, NaN gradient on maps with exact zeros.",
        mend="Replace the argument before the logarithm as well (double where).",
        evidence="TRL #5594.",
        variants=PROBABILITIES,
        forms=tuple(
            Form(label, {"terms": _single_where(naive)}, kinds) for label, naive, kinds in _NAIVE
        ),
        found_by=GRADIENTS,
    ),
    Mistake(
        name="nan-counted-as-zero",
        sentence="NaN is replaced by 0 after a sum (nan_to_num): what holds one zero cell drops "
        "out of the loss, and its gradient is NaN.",
        symptom="Too small a value and NaN gradients on maps with exact zeros.",
        mend="Define 0 log 0 = 0: replace the argument of the logarithm where the factor is 0.",
        evidence="torch.nan_to_num(loss), put in after the first NaN.",
        variants=PROBABILITIES,
        forms=tuple(
            Form(f"{label}, of {what}", _hidden(naive, stage_name), kinds)
            for what, stage_name in _SUMS
            for label, naive, kinds in _NAIVE
        ),
    ),
)
