"""Single and half precision: rounding within the budget, and finite."""

from dataclasses import replace

import numpy as np

from amad_core.attention.inputs import FloatArray
from amad_core.conformance.inputs.borders import long_maps, maps_with_zeros
from amad_core.conformance.inputs.case import Case
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

_NOTABLE = 0.05
"""On long maps less is a note: frameworks have sums of their own that lose cells, such as that in
TensorFlow's ``einsum`` of float16 on the CPU (2.21): a loss written with it is 2 % off."""

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
        error = max(_relative(one.answer.value, one.expected.value) for one in judged)
        return CheckResult(PASSED, f"loss off by {error:.1g} at most (relative)", len(judged))
    wrong = [judgement for judgement, problem in zip(judged, problems, strict=True) if problem]
    if all(one.case.name == "long" and _error(one) <= _NOTABLE for one in wrong):
        said = f"long maps: off by {_error(wrong[0]):.1g} (relative), a sum loses cells in {dtype}"
        return CheckResult(DECISION, f"{said}: it is safer in float32", len(judged))
    if outcome.worst.case.name == "long":
        return replace(outcome, worst=None)  # nobody looks at thousands of numbers
    broken = [judgement for judgement in judged if not _is_finite(judgement)]
    if broken and all(_has_zeros(judgement.case) for judgement in broken):
        named = "" if dtype == "float32" else "low-precision-arithmetic"
        detail = f"{outcome.detail}; {_ONLY_ZEROS.format(dtype=dtype)}"
        return replace(outcome, detail=detail, mistake=named)
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


def _error(judgement: Judgement) -> float:
    """The relative error of the loss, or that of the gradient if it is larger."""
    answer, right = judgement.answer, judgement.expected
    if answer.grad_student is None:
        return _relative(answer.value, right.value)
    return max(
        _relative(answer.value, right.value), _relative(answer.grad_student, right.grad_student)
    )


def _relative(found: FloatArray | None, right: FloatArray | None) -> float:
    """The length of the difference over that of what is right; infinite where nothing came."""
    if found is None or right is None or found.shape != right.shape:
        return float("inf")
    error = float(np.linalg.norm(found - right) / np.linalg.norm(right))
    return error if np.isfinite(error) else float("inf")
