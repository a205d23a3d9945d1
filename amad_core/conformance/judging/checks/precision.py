"""Single and half precision: rounding within the budget, and finite."""

from amad_core.conformance.judging.checks.result import (
    DECISION,
    PASSED,
    CheckResult,
    skipped,
    summed_up,
)
from amad_core.conformance.judging.checks.values import designed_cases, value_or_gradient
from amad_core.conformance.judging.examinee import Examinee
from amad_core.conformance.judging.judgement import Judgement

_ENOUGH = 4

_NOTABLE = 0.05
"""The loss that rounds after every operation was 0.007 off at most in bfloat16 (240 inputs)."""


def check_float32(examinee: Examinee) -> CheckResult:
    """Maps in single precision."""
    return _check(examinee, "float32")


def check_bfloat16(examinee: Examinee) -> CheckResult:
    """Maps in bfloat16."""
    return _check(examinee, "bfloat16")


def check_float16(examinee: Examinee) -> CheckResult:
    """Maps in half precision."""
    return _check(examinee, "float16")


def _check(examinee: Examinee, dtype: str) -> CheckResult:
    if dtype == examinee.dtype:
        return skipped("all checks above are in this precision")
    if dtype not in examinee.port.description.dtypes:
        return skipped(f"{examinee.port.description.framework} has none here")
    cases = designed_cases(examinee, masked=False)[:_ENOUGH]
    if any(examinee.judge(case).value_problem for case in cases):
        return skipped("values are wrong already in the precision above")
    judged = [examinee.judge(case, dtype) for case in cases]
    if all(_raised(judgement) for judgement in judged):
        assert judged[0].answer.trouble is not None
        return skipped(f"the port does not take it: {judged[0].answer.trouble.message}")
    outcome = summed_up((judgement, value_or_gradient(examinee, judgement)) for judgement in judged)
    return outcome if outcome.worst else _within_bounds(judged)


def _within_bounds(judged: list[Judgement]) -> CheckResult:
    """Bounds hold for every way to compute the loss; one that is far from the best gets a note."""
    error = _largest_error(judged)
    said = f"loss off by {error:.1g} at most (relative)"
    if error <= _NOTABLE:
        return CheckResult(PASSED, said, len(judged))
    usual = "rounding after every operation costs less than 0.01: look for something else"
    return CheckResult(DECISION, f"{said}; {usual}", len(judged))


def _raised(judgement: Judgement) -> bool:
    return judgement.answer.trouble is not None and judgement.answer.trouble.kind == "raised"


def _largest_error(judged: list[Judgement]) -> float:
    """The largest relative error of a loss."""
    errors = []
    for judgement in judged:
        found, wanted = judgement.answer.value, judgement.expected.value
        assert found is not None
        assert wanted is not None
        errors.append(float(abs(found - wanted).max() / abs(wanted).max()))
    return max(errors)
