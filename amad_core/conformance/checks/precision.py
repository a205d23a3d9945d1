"""Single and half precision: rounding within the budget, and finite."""

from amad_core.conformance.checks.result import CheckResult, skipped, summed_up
from amad_core.conformance.checks.values import designed_cases, value_or_gradient
from amad_core.conformance.judgement import Judgement
from amad_core.conformance.subject import Subject

_ENOUGH = 4


def check_float32(subject: Subject) -> CheckResult:
    """Maps in single precision."""
    return _check(subject, "float32")


def check_bfloat16(subject: Subject) -> CheckResult:
    """Maps in bfloat16."""
    return _check(subject, "bfloat16")


def check_float16(subject: Subject) -> CheckResult:
    """Maps in half precision."""
    return _check(subject, "float16")


def _check(subject: Subject, dtype: str) -> CheckResult:
    if dtype == subject.dtype:
        return skipped("all checks above are in this precision")
    if dtype not in subject.port.description.dtypes:
        return skipped(f"{subject.port.description.framework} has none here")
    cases = designed_cases(subject, masked=False)[:_ENOUGH]
    if any(subject.judge(case).value_problem for case in cases):
        return skipped("values are wrong already in the precision above")
    judged = [subject.judge(case, dtype) for case in cases]
    if all(_raised(judgement) for judgement in judged):
        assert judged[0].answer.trouble is not None
        return skipped(f"the port does not take it: {judged[0].answer.trouble.message}")
    outcome = summed_up((judgement, value_or_gradient(subject, judgement)) for judgement in judged)
    return (
        outcome
        if outcome.worst
        else summed_up(((judgement, "") for judgement in judged), _accuracy(judged))
    )


def _raised(judgement: Judgement) -> bool:
    return judgement.answer.trouble is not None and judgement.answer.trouble.kind == "raised"


def _accuracy(judged: list[Judgement]) -> str:
    """The largest relative error of a loss, which a user may want to know."""
    errors = []
    for judgement in judged:
        found, wanted = judgement.answer.observation.value, judgement.expected.value
        assert found is not None
        assert wanted is not None
        errors.append(float(abs(found - wanted).max() / abs(wanted).max()))
    return f"loss off by {max(errors):.1g} at most (relative)"
