"""Options that the port takes as arguments: other values of them must work too."""

from collections.abc import Iterator
from dataclasses import replace

from amad_core.arguments.maps import REDUCTIONS
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.judging.checks.result import CheckResult, skipped, summed_up
from amad_core.conformance.judging.checks.values import designed_cases, value_or_gradient
from amad_core.conformance.judging.examinee import Examinee

TEMPERATURES = (0.5, 2.0)
"""At temperature 1 no mistake in it shows."""


def check_options(examinee: Examinee) -> CheckResult:
    """Two other temperatures, and the other reductions, on the first designed inputs."""
    cases = list(_with_other_options(examinee))
    if not cases:
        return skipped("the port takes neither temperature nor reduction")
    judged = [examinee.judge(case) for case in cases]
    return summed_up((judgement, value_or_gradient(examinee, judgement)) for judgement in judged)


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
