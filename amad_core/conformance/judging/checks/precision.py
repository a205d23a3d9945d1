"""Single and half precision: rounding within the budget, and finite."""

from dataclasses import replace

import numpy as np

from amad_core.conformance.inputs.borders import long_maps, maps_with_zeros
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.judging.checks.result import (
    PASSED,
    CheckResult,
    skipped,
    summed_up,
)
from amad_core.conformance.judging.checks.values import designed_cases, value_or_gradient
from amad_core.conformance.judging.examinee import Examinee
from amad_core.conformance.judging.judgement import Judgement

_ONLY_ZEROS = (
    "only where cells are exactly 0: a floor (1e-12 in float16) or a filling (-1e9) that {dtype} "
    "cannot hold is 0 or infinite there; compute in float32, or take the dtype's own smallest "
    "normal number"
)


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
    long, cases = long_maps(examinee.terms, examinee.seed), _cases(examinee)
    # Long maps are remembered in no precision: the search for mistakes would take long over them.
    above = [examinee.judge(case) for case in cases] + [examinee.judge_unnamed(c) for c in long]
    if any(value_or_gradient(examinee, judgement) for judgement in above):
        return skipped("wrong already in the precision above")
    cases += long
    judged = [examinee.judge(case, dtype) for case in cases]
    if all(_raised(judgement) for judgement in judged):
        assert judged[0].answer.trouble is not None
        return skipped(f"the port does not take it: {judged[0].answer.trouble.message}")
    problems = [value_or_gradient(examinee, judgement) for judgement in judged]
    outcome = summed_up(zip(judged, problems, strict=True))
    if outcome.worst is None:
        error = _largest_error(judged)
        return CheckResult(PASSED, f"loss off by {error:.1g} at most (relative)", len(judged))
    broken = [judgement for judgement in judged if not _is_finite(judgement)]
    if broken and all(_has_zeros(judgement.case) for judgement in broken):
        return replace(outcome, detail=f"{outcome.detail}; {_ONLY_ZEROS.format(dtype=dtype)}")
    return outcome


def _cases(examinee: Examinee) -> list[Case]:
    """Maps without exact zeros and with them, and a mask."""
    cases = designed_cases(examinee, masked=False)[:1]
    cases += maps_with_zeros(examinee.terms, examinee.seed)
    return cases + (designed_cases(examinee, masked=True)[:1] if examinee.takes_masks else [])


def _is_finite(judgement: Judgement) -> bool:
    arrays = judgement.answer.value, judgement.answer.grad_student
    return all(array is None or np.isfinite(array).all() for array in arrays)


def _has_zeros(case: Case) -> bool:
    return case.mask is not None or bool((case.teacher == 0).any())


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
