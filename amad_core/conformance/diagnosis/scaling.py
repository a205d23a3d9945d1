"""Factors: between a port and the specification, or between a port and a known mistake."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from amad_core.conformance.diagnosis.evidence import Evidence, Match, Suspect
from amad_core.conformance.diagnosis.ratios import Formulas, Ratio
from amad_core.conformance.diagnosis.relative_tolerance import relative_distance
from amad_core.conformance.inputs.case import Observation

_NOTHING = 1e-10
"""A loss is a difference of numbers of size 1; below this it is 0."""

_FEW = 4
"""So many cases are looked at first."""


def plain_ratio(evidence: Evidence) -> Ratio | None:
    """A factor that all values and all gradients have in common with the specification's."""
    predicted = {i: evidence.specified[i][0] for i in evidence.answered}
    factors = _factors(evidence, predicted)
    if not factors or not _gradients_too(evidence, factors):
        return None
    return _formula(evidence, factors)


def gradient_ratio(evidence: Evidence) -> Ratio | None:
    """A factor of all gradients, where the values are right: a gradient written by hand."""
    if evidence.differing or evidence.teacher_gradient or not evidence.wrong_gradients:
        return None
    factors: dict[int, float] = {}
    for index in evidence.answered:
        gradient, right = evidence.observations[index].grad_student, evidence.specified[index][1]
        if gradient is None or not np.any(right):
            continue
        factors[index] = float(np.sum(gradient * right) / np.sum(right * right))
    if not factors or not _gradients_too(evidence, factors):
        return None
    allowed = np.array([evidence.budgets[i].gradient for i in factors])
    formulas = Formulas([evidence.cases[i] for i in factors])
    ratio = formulas.ratio_of(np.array(list(factors.values())), allowed)
    if ratio is None:
        return None
    return replace(ratio, sentence=ratio.sentence.replace("Your values", "Your gradients", 1))


def matches_with_factor(evidence: Evidence, suspects: list[Suspect]) -> list[tuple[Match, Ratio]]:
    """Single mistakes that reproduce everything but for a plain factor.

    Nothing is tried with low-precision observations, which many a factor would fit by chance.
    """
    if max(budget.value for budget in evidence.budgets) > 1e-3 or len(evidence.answered) < _FEW:
        return []
    few = Formulas([evidence.cases[i] for i in evidence.answered[:_FEW]])
    found = []
    for suspect in suspects:
        factors = _factors(evidence, _values(evidence, suspect, evidence.answered[:_FEW]))
        if len(factors) == _FEW and few.ratio_of(*_ratios(evidence, factors)) is not None:
            found += _verified(evidence, suspect)
    return found


def _verified(evidence: Evidence, suspect: Suspect) -> list[tuple[Match, Ratio]]:
    factors = _factors(evidence, _values(evidence, suspect, evidence.answered))
    ratio = _formula(evidence, factors) if factors else None
    if ratio is None:
        return []
    unscaled = [
        _scaled(found, 1 / factors[i]) if i in factors else found
        for i, found in enumerate(evidence.observations)
    ]
    match = Evidence(evidence.cases, unscaled).match((suspect,))
    return [] if match is None else [(match, ratio)]


def _values(evidence: Evidence, suspect: Suspect, indices: Sequence[int]) -> dict[int, Any]:
    return {i: evidence.value(suspect, i) for i in indices}


def _factors(evidence: Evidence, predicted: Mapping[int, Any]) -> dict[int, float]:
    """Observed over predicted of every case that says something; empty where there is no factor."""
    factors: dict[int, float] = {}
    for index, expected in predicted.items():
        found = np.asarray(evidence.observations[index].value)
        if expected is None or found.shape != np.shape(expected):
            return {}
        # Two numbers that are 0 but for rounding have no ratio.
        some = np.maximum(np.abs(expected), np.abs(found)) > _NOTHING
        if not some.any():
            continue
        with np.errstate(all="ignore"):
            each = found[some] / np.asarray(expected)[some]
        spread = 2 * evidence.budgets[index].value * abs(each.flat[0])
        if not np.isfinite(each).all() or np.ptp(each) > spread:
            return {}
        factors[index] = float(np.mean(each))
    return factors


def _ratios(evidence: Evidence, factors: Mapping[int, float]) -> tuple[Any, Any]:
    allowed = np.array([evidence.budgets[i].value for i in factors])
    return np.array(list(factors.values())), allowed


def _formula(evidence: Evidence, factors: Mapping[int, float]) -> Ratio | None:
    formulas = Formulas([evidence.cases[i] for i in factors])
    return formulas.ratio_of(*_ratios(evidence, factors))


def _gradients_too(evidence: Evidence, factors: Mapping[int, float]) -> bool:
    for index, factor in factors.items():
        gradient = evidence.observations[index].grad_student
        if gradient is not None:
            expected = factor * evidence.specified[index][1]
            budget = evidence.budgets[index]
            if relative_distance(gradient, expected, budget.small_gradient) > budget.gradient:
                return False
    return True


def _scaled(found: Observation, factor: float) -> Observation:
    def scale(array: Any) -> Any:
        return None if array is None else np.asarray(array) * factor

    return replace(
        found,
        value=scale(found.value),
        grad_student=scale(found.grad_student),
        grad_teacher=scale(found.grad_teacher),
    )
