"""What a single result cannot show: changed arguments, randomness, memory."""

import numpy as np

from amad_core.conformance.judging.checks.result import FAILED, PASSED, CheckResult, skipped
from amad_core.conformance.judging.checks.values import designed_cases
from amad_core.conformance.judging.examinee import Examinee
from amad_core.conformance.judging.judgement import Judgement
from amad_core.conformance.judging.tolerance import within

_MORE_CALLS = 4
"""With the three before: noise moves one way in seven calls once in 2520 times."""

_IMMUTABLE = ("tensorflow", "jax")


def check_inputs(examinee: Examinee) -> CheckResult:
    """No call so far has changed an argument."""
    if examinee.port.description.framework in _IMMUTABLE:
        return skipped("arrays of this framework cannot be changed")
    if not examinee.judged:
        examinee.judge(designed_cases(examinee, masked=False)[0])
    judged = list(examinee.judged.values())
    changed = [judgement for judgement in judged if judgement.answer.changed]
    if not changed:
        return CheckResult(PASSED, cases=len(judged))
    first = min(changed, key=lambda judgement: judgement.case.student.size)
    return CheckResult(
        FAILED,
        f"{first.case.name}: {' and '.join(first.answer.changed)} changed in place during the call",
        len(judged),
        len(changed),
        first,
        "inputs-changed-in-place",
    )


def check_repeated(examinee: Examinee) -> CheckResult:
    """The first case again, after all the others, and once more."""
    case = designed_cases(examinee, masked=False)[0]
    before = examinee.judge(case)
    if before.answer.trouble is not None:
        return skipped("there is no result to repeat")
    later = [examinee.judge_unnamed(case, gradients=False) for _ in range(3)]
    if all(_same(before, after) for after in later):
        return CheckResult(PASSED, cases=1)
    said = ", ".join(_value(judgement) for judgement in (before, *later))
    later += [examinee.judge_unnamed(case, gradients=False) for _ in range(_MORE_CALLS)]
    return CheckResult(
        FAILED,
        f"{case.name}: the same input gave {said}",
        1,
        1,
        before,
        "state-kept-between-calls" if _settled_or_drifting(later) else "random-result",
    )


def _settled_or_drifting(later: list[Judgement]) -> bool:
    """Whether calls repeated at once agree, or all move one way, as a running mean does."""
    if all(_same(later[0], after) for after in later):
        return True
    sums = [judgement.answer.value for judgement in later]
    steps = np.diff([np.nan if value is None else float(np.sum(value)) for value in sums])
    return bool(np.all(steps >= 0) or np.all(steps <= 0))


def _same(one: Judgement, other: Judgement) -> bool:
    """Whether two losses differ by rounding at most."""
    found, again = one.answer.value, other.answer.value
    if found is None or again is None or found.shape != again.shape:
        return False
    if found.shape != one.tolerance.value.shape:
        return bool(np.array_equal(found, again, equal_nan=True))
    both_nan = np.isnan(found) & np.isnan(again)
    numbers = [np.where(both_nan, 0.0, array) for array in (again, found)]
    return within(numbers[0], numbers[1], one.tolerance.value)


def _value(judgement: Judgement) -> str:
    value = judgement.answer.value
    if value is None:
        return "nothing"
    return f"{float(np.sum(value)):.8g}"
