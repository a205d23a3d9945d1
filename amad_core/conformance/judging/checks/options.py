"""Options that the port takes as arguments: other values of them must work too."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from amad_core.arguments.maps import REDUCTIONS
from amad_core.attention.inputs import FloatArray
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.judging.checks.result import (
    FAILED,
    PASSED,
    CheckResult,
    skipped,
    summed_up,
)
from amad_core.conformance.judging.checks.values import designed_cases, value_or_gradient
from amad_core.conformance.judging.examinee import Examinee
from amad_core.conformance.judging.judgement import shown, specified
from amad_core.conformance.judging.tolerance import within

TEMPERATURES = (0.5, 2.0)
"""At temperature 1 no mistake in it shows."""


def check_options(examinee: Examinee) -> CheckResult:
    """Two other temperatures, and the other reductions, on the first designed inputs."""
    cases = list(_with_other_options(examinee))
    if not cases:
        return skipped("the port takes neither temperature nor reduction")
    judged = [examinee.judge(case) for case in cases]
    return summed_up((judgement, value_or_gradient(examinee, judgement)) for judgement in judged)


def check_layers(examinee: Examinee) -> CheckResult:
    """Two layers, given as lists, must give the sum of the losses of each."""
    if not examinee.terms.layers:
        return skipped("the port takes one layer")
    case = designed_cases(examinee, masked=False)[0]
    # The other way round in all but the batch, which a mean would not notice.
    other = replace(case, teacher=case.teacher[..., ::-1], student=case.student[:, :, ::-1])
    both = replace(
        case,
        name="layers/two",
        teacher=np.stack([case.teacher, other.teacher]),
        student=np.stack([case.student, other.student]),
    )
    single = examinee.judge(case)
    answer = examinee.port.answer(both, examinee.dtype, False)
    if answer.trouble is not None:
        return summed_up([(single, answer.trouble.message)])
    found = answer.value
    if found is None:
        return summed_up([(single, "there is no loss")])
    losses: dict[tuple[int, int], Any] = {
        (i, j): specified(replace(case, teacher=both.teacher[i], student=both.student[j])).value
        for i, j in itertools.product(range(2), repeat=2)
    }
    return _layers_result(found, losses, 2 * single.tolerance.value)


def _layers_result(
    found: FloatArray, losses: Mapping[tuple[int, int], Any], allowed: FloatArray
) -> CheckResult:
    """Two layers against the sum of the losses of each; ``losses`` of teacher and student layer."""
    total = losses[0, 0] + losses[1, 1]
    if found.shape == total.shape and within(found, total, allowed):
        return CheckResult(PASSED, cases=1)
    others = (
        ("layers-averaged", total / 2),
        ("layers-left-out", losses[0, 0]),
        ("layers-left-out", losses[1, 1]),
        ("layers-paired-wrongly", losses[0, 1] + losses[1, 0]),
    )
    fits = (
        name
        for name, value in others
        if found.shape == value.shape and within(found, value, allowed)
    )
    detail = f"two layers give {shown(found)}, the sum of both losses is {shown(total)}"
    # No input is shown: that of a single layer is right.
    return CheckResult(FAILED, detail, 1, 1, mistake=next(fits, ""))


def _with_other_options(examinee: Examinee) -> Iterator[Case]:
    accepts, terms = examinee.port.description.accepts, examinee.terms
    cases = designed_cases(examinee, masked=False)[:3]
    if "temperature" in accepts:
        for temperature in TEMPERATURES:
            for case in cases:
                name = f"{case.name}/temperature-{temperature:g}"
                yield replace(case, name=name, temperature=temperature)
    if "reduction" in accepts:
        for reduction in REDUCTIONS:
            if reduction != terms.reduction:
                name = f"{cases[0].name}/{reduction}"
                yield replace(cases[0], name=name, reduction=reduction)
