"""Values and gradients, on designed inputs and at the borders."""

from dataclasses import replace

import numpy as np

from amad_core.conformance.inputs.borders import edge_cases, infinite_cases
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.inputs.designed import discriminating_cases
from amad_core.conformance.judging.checks.result import (
    DECISION,
    FAILED,
    PASSED,
    CheckResult,
    skipped,
    summed_up,
)
from amad_core.conformance.judging.examinee import Examinee
from amad_core.conformance.judging.judgement import Judgement, specified


def designed_cases(examinee: Examinee, *, masked: bool) -> list[Case]:
    """The inputs that tell mistakes apart, with a mask or without."""
    terms = examinee.terms
    cases = discriminating_cases(
        terms.variant,
        temperature=terms.temperature,
        reduction=terms.reduction,
        masks=masked,
        seed=examinee.seed,
    )
    return [terms.applied_to(case) for case in cases if (case.mask is not None) == masked]


def check_values(examinee: Examinee) -> CheckResult:
    """Values on designed inputs without mask."""
    judged = [examinee.judge(case) for case in designed_cases(examinee, masked=False)]
    return summed_up((judgement, judgement.value_problem) for judgement in judged)


def check_gradients(examinee: Examinee) -> CheckResult:
    """Gradients with respect to the student on the same inputs."""
    if not examinee.terms.gradients:
        return skipped("not asked for")
    judged = [examinee.judge(case) for case in designed_cases(examinee, masked=False)]
    if not examinee.differentiable and all(
        judgement.answer.grad_student is None for judgement in judged
    ):
        return skipped("a NumPy port has none; return (loss, gradient) to have it checked")
    outcome = summed_up((judgement, judgement.gradient_problem) for judgement in judged)
    # Lists of one layer may leave a port that chooses among layers nothing to learn from.
    return outcome if examinee.terms.layers else replace(outcome, mistake=_cut_off(judged))


def _cut_off(judged: list[Judgement]) -> str:
    """The catalogue's name of a loss that never gives the student a gradient, by its own fault."""
    if any(
        answer.grad_student is not None
        or answer.trouble is not None
        or "raised" in answer.no_gradient
        for answer in (judgement.answer for judgement in judged)
    ):
        return ""
    return (
        "student-detached-for-teacher"
        if any(judgement.leak for judgement in judged)
        else "student-without-gradient"
    )


def check_teacher(examinee: Examinee) -> CheckResult:
    """The teacher's maps are constants of the loss, or of its caller.

    Frameworks' own losses do not detach, and a teacher under ``no_grad`` has nothing to detach: a
    note, unless the terms insist.
    """
    if not examinee.differentiable:
        reason = "the framework has no gradients" if examinee.terms.gradients else "not asked for"
        return skipped(reason)
    judged = [examinee.judge(case) for case in designed_cases(examinee, masked=False)]
    taken = [judgement for judgement in judged if judgement.answer.grad_teacher is not None]
    if not taken:
        return skipped("the port gives no gradients")
    outcome = summed_up((one, _leak_problem(one)) for one in taken)
    if outcome.status == PASSED or examinee.terms.detached_teacher:
        return outcome
    largest = max(judgement.leak for judgement in taken)
    detail = f"up to {largest:.3g} reaches them: detach the teacher, here or where this is called"
    return CheckResult(DECISION, detail, len(taken))


def _leak_problem(judgement: Judgement) -> str:
    if not judgement.leak:
        return ""
    return f"up to {judgement.leak:.3g} reaches them; detach them inside the loss"


def check_edges(examinee: Examinee) -> CheckResult:
    """Borders, in value and gradient."""
    judged = [examinee.judge(case) for case in edge_cases(examinee.terms, examinee.seed)]
    return summed_up((judgement, value_or_gradient(examinee, judgement)) for judgement in judged)


def check_infinite(examinee: Examinee) -> CheckResult:
    """Where the exact divergence is infinite, a port may stay finite by a floor of its own."""
    if examinee.terms.variant not in ("kl", "token", "projected") or examinee.terms.eps:
        return skipped("this loss is always finite")
    judged = [examinee.judge(case) for case in infinite_cases(examinee.terms, examinee.seed)]
    values = [judgement.answer.value for judgement in judged]
    for judgement, value in zip(judged, values, strict=True):
        if value is None or np.isnan(value).any():
            detail = f"{judgement.case.name}: {judgement.value_problem}"
            return CheckResult(FAILED, detail, len(judged), 1, judgement)
    if all(np.isposinf(value).all() for value in values if value is not None):
        return CheckResult(PASSED, "infinite, as the exact divergence is", len(judged))
    found = float(next(value for value in values if value is not None).ravel()[0])
    floor = _floor_that_gives(found, judged[0].case)
    return CheckResult(
        DECISION,
        f"finite ({found:.4g}), as by a floor of {floor:.1g}; the exact divergence is infinite",
        len(judged),
    )


def _floor_that_gives(found: float, case: Case) -> float:
    """``eps`` of the specification with which an infinite loss is ``found``: linear in its log."""
    logarithms = np.log([1e-10, 1e-20])
    losses = [
        float(np.ravel(np.asarray(specified(replace(case, eps=float(eps))).value))[0])
        for eps in np.exp(logarithms)
    ]
    slope = (logarithms[1] - logarithms[0]) / (losses[1] - losses[0])
    return float(np.exp(logarithms[0] + slope * (found - losses[0])))


def value_or_gradient(examinee: Examinee, judgement: Judgement) -> str:
    """The problem of the value, else that of the gradient where there is any."""
    if judgement.value_problem:
        return judgement.value_problem
    has_gradient = judgement.answer.grad_student is not None
    if examinee.terms.gradients and (examinee.differentiable or has_gradient):
        return judgement.gradient_problem
    return ""
