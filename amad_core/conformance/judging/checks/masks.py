"""Masks: what is masked out has no influence, whatever it holds."""

from dataclasses import replace

import numpy as np

from amad_core.conformance.inputs.borders import GARBAGE, garbage_cases, padding_pair
from amad_core.conformance.judging.checks.result import CheckResult, skipped, summed_up
from amad_core.conformance.judging.checks.values import designed_cases, value_or_gradient
from amad_core.conformance.judging.examinee import Examinee
from amad_core.conformance.judging.judgement import Judgement, shown
from amad_core.conformance.judging.tolerance import within

_NO_MASK = "the port takes no mask"


def check_masks(examinee: Examinee) -> CheckResult:
    """Padding, windows, masked keys, a sample without any cell: value and gradient."""
    if not examinee.takes_masks:
        return skipped(_NO_MASK if examinee.terms.masks is None else "not asked for")
    judged = [examinee.judge(case) for case in designed_cases(examinee, masked=True)]
    return summed_up((judgement, value_or_gradient(examinee, judgement)) for judgement in judged)


def check_garbage(examinee: Examinee) -> CheckResult:
    """NaN, infinity and huge numbers in masked cells."""
    if not examinee.takes_masks:
        return skipped(_NO_MASK if examinee.terms.masks is None else "not asked for")
    judged = [
        examinee.judge(case)
        for case in garbage_cases(examinee.terms, examinee.seed, examinee.fitting)
    ]
    problems = [value_or_gradient(examinee, judgement) for judgement in judged]
    outcome = summed_up(zip(judged, problems, strict=True))
    spoiled = [not np.isfinite(filling) for filling in GARBAGE]
    # A product with the mask takes out what is finite; NaN * 0 and inf * 0 are NaN.
    by_product = [bool(problem) for problem in problems] == spoiled and all(
        "NaN" in problem or "infinite" in problem for problem in problems if problem
    )
    return replace(outcome, mistake="mask-by-product") if by_product else outcome


def check_padding(examinee: Examinee) -> CheckResult:
    """The same maps with padded queries and keys: the port agrees with itself."""
    if not examinee.takes_masks:
        return skipped(_NO_MASK if examinee.terms.masks is None else "not asked for")
    bare, padded = (
        examinee.judge(case)
        for case in padding_pair(examinee.terms, examinee.seed, examinee.fitting)
    )
    return summed_up([(padded, _padding_problem(bare, padded))])


def _padding_problem(bare: Judgement, padded: Judgement) -> str:
    values = [judgement.answer.value for judgement in (bare, padded)]
    if values[0] is None or values[1] is None or values[0].shape != values[1].shape:
        return bare.value_problem or padded.value_problem
    if not within(values[1], values[0], padded.tolerance.value):
        return f"without padding the loss is {shown(values[0])}, with padding {shown(values[1])}"
    gradients = [judgement.answer.grad_student for judgement in (bare, padded)]
    if gradients[0] is None or gradients[1] is None:
        return ""
    queries, keys = bare.case.student.shape[2:]
    inside = (..., slice(queries), slice(keys))
    outside = gradients[1].copy()
    outside[inside] = 0
    if np.any(outside != 0):
        return "padded cells get a gradient"
    if not within(gradients[1][inside], gradients[0], padded.tolerance.gradient[inside]):
        return "padding changes the gradient of cells that count"
    return ""
