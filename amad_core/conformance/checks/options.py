"""Options that the port takes as arguments: other values of them must work too."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from amad_core.checks import REDUCTIONS
from amad_core.conformance.case import Case
from amad_core.conformance.checks.result import CheckResult, skipped, summed_up
from amad_core.conformance.checks.values import designed_cases, value_or_gradient
from amad_core.conformance.claim import expected
from amad_core.conformance.judgement import Judgement, shown
from amad_core.conformance.subject import Subject
from amad_core.conformance.tolerance import within
from amad_core.inputs import FloatArray

TEMPERATURES = (0.5, 2.0)
"""At temperature 1 no mistake in it shows."""


def check_options(subject: Subject) -> CheckResult:
    """Two other temperatures, and the other reductions, on the first designed inputs."""
    cases = list(_with_other_options(subject))
    if not cases:
        return skipped("the port takes neither temperature nor reduction")
    judged = [subject.judge(case) for case in cases]
    return summed_up((judgement, value_or_gradient(subject, judgement)) for judgement in judged)


def check_layers(subject: Subject) -> CheckResult:
    """Two layers, given as lists, must give the sum of the losses of each."""
    if not subject.claim.layers:
        return skipped("the port takes one layer")
    case = designed_cases(subject, masked=False)[0]
    other = replace(case, teacher=case.teacher[::-1], student=case.student[::-1])
    both = replace(
        case,
        name="layers/two",
        teacher=np.stack([case.teacher, other.teacher]),
        student=np.stack([case.student, other.student]),
    )
    single = subject.judge(case)
    answer = subject.port.answer(both, subject.dtype, False)
    if answer.trouble is not None:
        return summed_up([(single, answer.trouble.message)])
    return summed_up([(single, _layers_problem(single, answer.observation.value, other))])


def _layers_problem(single: Judgement, found: FloatArray | None, other: Case) -> str:
    """Two layers against the sum of the specification's loss of each."""
    first, second = single.expected.value, expected(other).value
    if found is None or first is None or second is None:
        return "there is no loss"
    allowed = 2 * single.tolerance.value
    if found.shape == first.shape and within(found, first + second, allowed):
        return ""
    averaged = found.shape == first.shape and within(found, (first + second) / 2, allowed)
    return f"two layers give {shown(found)}, the sum of both losses is {shown(first + second)}" + (
        ": the port averages over layers" if averaged else ""
    )


def _with_other_options(subject: Subject) -> Iterator[Case]:
    accepts, claim = subject.port.description.accepts, subject.claim
    cases = designed_cases(subject, masked=False)[:3]
    if "temperature" in accepts:
        for temperature in TEMPERATURES:
            for case in cases:
                name = f"{case.name}/temperature-{temperature:g}"
                yield replace(case, name=name, temperature=temperature)
    if "reduction" in accepts:
        for reduction in REDUCTIONS:
            if reduction != claim.reduction:
                name = f"{cases[0].name}/{reduction}"
                yield replace(cases[0], name=name, reduction=reduction)
