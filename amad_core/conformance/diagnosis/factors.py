"""Factors: between a port and the specification, or between a port and a known mistake."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from amad_core.conformance.diagnosis.evidence import Evidence, Match
from amad_core.conformance.diagnosis.exhibit import Exhibit, Suspect
from amad_core.conformance.diagnosis.formulas import Formulas, Ratio
from amad_core.conformance.diagnosis.relative_tolerance import relative_distance

_NOTHING = 1e-10
"""A loss is a difference of numbers of size 1; below this it is 0."""

_FIRST_CASES = 4
"""So many cases are looked at first."""


def plain_ratio(evidence: Evidence) -> Ratio | None:
    """A factor that all values and all gradients have in common with the specification's."""
    predicted = {one: one.right_value for one in evidence.answered}
    factors = _factors(predicted)
    if not factors or not _gradients_too(factors):
        return None
    return _formula(factors)


def gradient_ratio(evidence: Evidence) -> Ratio | None:
    """A factor of all gradients, where the values are right: a gradient written by hand."""
    if evidence.differing or evidence.teacher_gradient or not evidence.wrong_gradients:
        return None
    factors: dict[Exhibit, float] = {}
    for exhibit in evidence.answered:
        gradient, right = exhibit.answer.grad_student, exhibit.right_gradient
        if gradient is None or not np.any(right):
            continue
        factors[exhibit] = float(np.sum(gradient * right) / np.sum(right * right))
    if not factors or not _gradients_too(factors):
        return None
    allowed = np.array([one.tolerance.gradient for one in factors])
    formulas = Formulas([one.case for one in factors])
    ratio = formulas.ratio_of(np.array(list(factors.values())), allowed)
    if ratio is None:
        return None
    return replace(ratio, sentence=ratio.sentence.replace("Your values", "Your gradients", 1))


def matches_with_factor(evidence: Evidence, suspects: list[Suspect]) -> list[tuple[Match, Ratio]]:
    """Single mistakes that reproduce everything but for a plain factor.

    Nothing is tried with low-precision observations, which many a factor would fit by chance.
    """
    if (
        max(one.tolerance.value for one in evidence.exhibits) > 1e-3
        or len(evidence.answered) < _FIRST_CASES
    ):
        return []
    few = Formulas([one.case for one in evidence.answered[:_FIRST_CASES]])
    found = []
    for suspect in suspects:
        factors = _factors(_values(suspect, evidence.answered[:_FIRST_CASES]))
        if len(factors) == _FIRST_CASES and few.ratio_of(*_ratios(factors)) is not None:
            found += _verified(evidence, suspect)
    return found


def _verified(evidence: Evidence, suspect: Suspect) -> list[tuple[Match, Ratio]]:
    factors = _factors(_values(suspect, evidence.answered))
    ratio = _formula(factors) if factors else None
    if ratio is None:
        return []
    unscaled = [
        _scaled(one, 1 / factors[one]) if one in factors else one for one in evidence.exhibits
    ]
    match = Evidence(unscaled).match((suspect,))
    return [] if match is None else [(match, ratio)]


def _values(suspect: Suspect, exhibits: Sequence[Exhibit]) -> dict[Exhibit, Any]:
    return {one: one.value(suspect) for one in exhibits}


def _factors(predicted: Mapping[Exhibit, Any]) -> dict[Exhibit, float]:
    """Observed over predicted of every case that says something; empty where there is no factor."""
    factors: dict[Exhibit, float] = {}
    for exhibit, expected in predicted.items():
        found = np.asarray(exhibit.answer.value)
        if expected is None or found.shape != np.shape(expected):
            return {}
        # Two numbers that are 0 but for rounding have no ratio, nor what is not finite.
        some = np.maximum(np.abs(expected), np.abs(found)) > _NOTHING
        some &= np.isfinite(expected)
        if not some.any():
            continue
        with np.errstate(all="ignore"):
            each = found[some] / np.asarray(expected)[some]
        spread = 2 * exhibit.tolerance.value * abs(each.flat[0])
        if not np.isfinite(each).all() or np.ptp(each) > spread:
            return {}
        factors[exhibit] = float(np.mean(each))
    return factors


def _ratios(factors: Mapping[Exhibit, float]) -> tuple[Any, Any]:
    allowed = np.array([one.tolerance.value for one in factors])
    return np.array(list(factors.values())), allowed


def _formula(factors: Mapping[Exhibit, float]) -> Ratio | None:
    formulas = Formulas([one.case for one in factors])
    return formulas.ratio_of(*_ratios(factors))


def _gradients_too(factors: Mapping[Exhibit, float]) -> bool:
    for exhibit, factor in factors.items():
        gradient = exhibit.answer.grad_student
        if gradient is not None:
            expected = factor * exhibit.right_gradient
            budget = exhibit.tolerance
            if relative_distance(gradient, expected, budget.small_gradient) > budget.gradient:
                return False
    return True


def _scaled(exhibit: Exhibit, factor: float) -> Exhibit:
    answer = exhibit.answer

    def scale(array: Any) -> Any:
        return None if array is None else np.asarray(array) * factor

    scaled = replace(
        answer,
        value=scale(answer.value),
        grad_student=scale(answer.grad_student),
        grad_teacher=scale(answer.grad_teacher),
    )
    return Exhibit(replace(exhibit.judgement, answer=scaled))
