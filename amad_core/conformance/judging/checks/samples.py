"""Samples: what one contributes to the loss does not depend on the others of its batch."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from amad_core.attention.inputs import FloatArray
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.judging.checks.result import (
    FAILED,
    PASSED,
    CheckResult,
    skipped,
)
from amad_core.conformance.judging.checks.values import designed_cases
from amad_core.conformance.judging.examinee import Examinee
from amad_core.conformance.judging.judgement import Judgement, shown
from amad_core.conformance.judging.tolerance import within


def check_samples(examinee: Examinee) -> CheckResult:
    """The port against itself: a batch gives what its samples give that fill a batch alone.

    A batch of one sample repeated has the shape of the batch, which no framework compiles anew, and
    is no other batch size to a port. Its mean, or sum, over the samples is the batch's own.
    """
    compared = 0
    for case in _cases(examinee):
        whole = examinee.judge(case)
        alone = [examinee.judge_unnamed(one) for one in _alone(case)]
        if not all(_is_usual(judgement) for judgement in (whole, *alone)):
            continue
        compared += 1
        problem = _problem(whole, alone)
        if not problem:
            continue
        if _differs(examinee.judge_unnamed(case).answer.value, whole.answer.value, whole):
            return skipped("the same call gives another result each time")
        wrong = [one for one in (whole, *alone) if one.value_problem or one.gradient_problem]
        return CheckResult(
            FAILED, f"{case.name}: {problem}", compared, 1, wrong[0] if wrong else whole
        )
    return CheckResult(PASSED, cases=compared) if compared else skipped("no results to compare")


def _cases(examinee: Examinee) -> list[Case]:
    """A plain batch; masks that differ by sample, one of them without any cell."""
    cases = designed_cases(examinee, masked=False)[:1]
    if not examinee.takes_masks:
        return cases
    masks = [(case, case.mask) for case in designed_cases(examinee, masked=True)]
    differ = [case for case, mask in masks if mask is not None and (mask != mask[:1]).any()]
    empty = [case for case, mask in masks if mask is not None and not mask.any((1, 2)).all()]
    return cases + differ[:1] + empty[:1]


def _alone(case: Case) -> list[Case]:
    """For each sample a batch of the same size that holds nothing else."""

    def repeated(sample: int) -> Case:
        chosen = np.full(len(case.teacher), sample)
        return replace(
            case,
            name=f"{case.name}/sample-{sample}-alone",
            teacher=case.teacher[chosen],
            student=case.student[chosen],
            mask=None if case.mask is None else case.mask[chosen],
        )

    return [repeated(sample) for sample in range(len(case.teacher))]


def _is_usual(judgement: Judgement) -> bool:
    """Whether a finite loss of the right shape came."""
    found, wanted = judgement.answer.value, judgement.expected.value
    return (
        found is not None
        and wanted is not None
        and found.shape == wanted.shape
        and bool(np.isfinite(found).all())
    )


def _problem(whole: Judgement, alone: Sequence[Judgement]) -> str:
    values = np.stack([np.asarray(one.answer.value) for one in alone])
    unreduced = whole.case.reduction == "none"
    expected = np.diagonal(values) if unreduced else np.mean(values, axis=0)
    found = whole.answer.value
    if _differs(found, expected, whole):
        return (
            f"the loss is {shown(np.asarray(found))}; {_PIECES} {shown(np.asarray(expected))}: "
            "what a sample contributes depends on the others"
        )
    gradient = whole.answer.grad_student
    gradients = [one.answer.grad_student for one in alone]
    for sample, other in enumerate(gradients):
        if gradient is None or other is None:
            return ""
        allowed = whole.tolerance.gradient[sample] * _scale(gradient, whole.expected.grad_student)
        if not within(gradient[sample], other[sample], allowed):
            return f"the gradient of sample {sample} changes when the others do"
    return ""


_PIECES = "its samples, each filling a batch alone, make"


def _differs(found: FloatArray | None, expected: FloatArray | None, judgement: Judgement) -> bool:
    """By more than rounding, whatever the scale of the port's own losses."""
    if found is None or expected is None:
        return True
    scale = _scale(found, judgement.expected.value)
    return not within(np.asarray(found), expected, judgement.tolerance.value * scale)


def _scale(found: FloatArray, right: FloatArray | None) -> float:
    finite = np.abs(np.asarray(right)[np.isfinite(right)]) if right is not None else np.zeros(0)
    largest = float(np.max(finite, initial=0.0))
    return max(1.0, float(np.max(np.abs(found))) / largest) if largest else 1.0
