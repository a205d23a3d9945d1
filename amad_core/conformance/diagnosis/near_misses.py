"""Beyond pairs of catalogue entries: what nearly fits, with one further mistake or fitted number.

Public ports often make two mistakes of size and add a small number for safety. The small number
keeps every pair from fitting exactly; so the nearest singles and pairs are each tried with every
third mistake, and with every number that can be fitted.
"""

from collections.abc import Iterator

import numpy as np
from scipy.optimize import brentq

from amad_core.conformance.diagnosis.evidence import Evidence, Match
from amad_core.conformance.diagnosis.exhibit import Exhibit, Suspect, Suspects, stages_of
from amad_core.conformance.diagnosis.mistakes import MISTAKES, FittedForm, Mistake
from amad_core.conformance.diagnosis.pipeline import ConflictError, observe, stages_with
from amad_core.conformance.diagnosis.relative_tolerance import relative_distance
from amad_core.conformance.diagnosis.search import finite_cases, pair_candidates, pair_distances

_NEAR = 0.05
"""A single or a pair is near when its values are within this relative distance."""

_BASES = 8
"""So many of the nearest are extended."""

_LOOKED_AT = 200
"""So many that are near on one case are compared on further ones."""

_GRID = 25
"""Points at which a number to fit is tried before its roots are sought."""

_GRID_OF_FLOORS = 5
"""The same where a floor decides alone: the loss falls steadily with its logarithm."""

_WITH_FLOOR = 3
"""So many of the matches are tried with a floor."""


def near_matches(evidence: Evidence, suspects: list[Suspect]) -> list[Match]:
    """The nearest singles and pairs with a third mistake or a fitted number, if that fits all."""
    candidates, finite = pair_candidates(evidence, suspects), finite_cases(evidence)
    if not finite:
        return []
    nearest = _nearest(candidates, finite[:4])
    matches = [
        match for base in nearest for match in _with_third(evidence, base, suspects, finite[0])
    ]
    if matches:
        return matches
    matches = [match for base in nearest for match in fitted_matches(evidence, base)]
    if matches:
        return matches
    factors = _different([suspect for suspect in candidates if _is_factor(suspect)], finite[0])
    matches = [
        match for suspect in factors for match in fitted_matches(evidence, (suspect,), broad=True)
    ]
    if matches or not evidence.limits:
        return matches
    # A large floor takes a scaled loss farther than near; where it decides alone, it is found soon.
    return [
        match
        for suspect in factors
        for match in _matches_of_fitted_forms(evidence, (suspect,), evidence.limits[0], False)
    ]


def _is_factor(suspect: Suspect) -> bool:
    """Whether a mistake multiplies the loss by something, so that no other one is near to it."""
    return set(suspect.form.mutation) <= {"per_sample", "reduced"}


def _different(suspects: list[Suspect], exhibit: Exhibit) -> list[Suspect]:
    """One suspect for each value that the suspects give."""
    by_value = {float(np.sum(exhibit.value(suspect))): suspect for suspect in reversed(suspects)}
    return list(by_value.values())


def _nearest(suspects: list[Suspect], exhibits: list[Exhibit]) -> list[Suspects]:
    """Singles and pairs whose values are near the observed ones, the nearest first."""
    first, rest = exhibits[0], exhibits[1:]
    distances: list[tuple[float, Suspects]] = [
        (first.distance((suspect,)), (suspect,)) for suspect in suspects
    ]
    near = [row for row in distances + pair_distances(first, suspects) if row[0] < _NEAR]
    near.sort(key=lambda row: row[0])
    ranked = [
        (max([distance, *(exhibit.distance(combination) for exhibit in rest)]), combination)
        for distance, combination in near[:_LOOKED_AT]
    ]
    ranked.sort(key=lambda row: row[0])
    return [combination for worst, combination in ranked[:_BASES] if worst < _NEAR]


def _with_third(
    evidence: Evidence, base: Suspects, suspects: list[Suspect], exhibit: Exhibit
) -> Iterator[Match]:
    for suspect in suspects:
        if len(base) == 1 or any(suspect.mistake is one.mistake for one in base):
            continue
        try:
            if exhibit.distance((*base, suspect)) > exhibit.tolerance.value:
                continue
            match = evidence.match((*base, suspect))
        except ConflictError:
            continue
        if match is not None:
            yield match


def with_floors(evidence: Evidence, matches: list[Match]) -> list[Match]:
    """The same, with the floor that keeps the port finite where the exact loss is infinite.

    Such a floor may be too small for any other case to show it.
    """
    if not evidence.limits or any(match.limits for match in matches):
        return matches
    nearest = sorted(matches, key=lambda match: match.error)[:_WITH_FLOOR]
    found = [
        fitted
        for match in nearest
        for fitted in _matches_of_fitted_forms(evidence, match.suspects, evidence.limits[0], False)
        if fitted.limits
    ]
    if not found:
        return matches
    # Where only an infinite case shows a floor, its gradient tells a floor from a summand.
    distances = [_gradient_at_limit(evidence.limits[0], match.suspects) for match in found]
    allowed = min(distances) + evidence.limits[0].tolerance.gradient
    like = [match for match, far in zip(found, distances, strict=True) if far <= allowed]
    return [min(like, key=lambda match: match.error)]


def _gradient_at_limit(exhibit: Exhibit, suspects: Suspects) -> float:
    found = exhibit.answer.grad_student
    if found is None or not np.isfinite(found).all():
        return 0.0
    return relative_distance(found, observe(exhibit.case, stages_of(suspects)).grad_student)


def fitted_matches(evidence: Evidence, base: Suspects = (), broad: bool = False) -> list[Match]:
    """``base`` and one more mistake whose number (a temperature, an eps) is fitted.

    It is fitted to one case and verified on all. A value need not be monotonic in the number, so
    that roots can be missed on one case; another is tried where nothing comes of the first. With
    ``broad`` only the families are tried that change the loss a lot.
    """
    for exhibit in _sensitive(evidence, base):
        matches = list(_matches_of_fitted_forms(evidence, base, exhibit, broad))
        if matches:
            return matches
    return []


def _sensitive(evidence: Evidence, base: Suspects) -> list[Exhibit]:
    """Cases to fit a number on: where a floor decides alone, and where ``base`` is farthest off."""
    finite = [one for one in evidence.answered if np.isfinite(one.value_error)]
    farthest = max(finite, key=lambda one: _over_tolerance(one, base), default=None)
    chosen = [*evidence.limits[:1], *([farthest] if farthest else []), *finite[:1]]
    return list(dict.fromkeys(chosen))


def _over_tolerance(exhibit: Exhibit, base: Suspects) -> float:
    distance = exhibit.distance(base) / exhibit.tolerance.value
    return distance if np.isfinite(distance) else 0.0


def _matches_of_fitted_forms(
    evidence: Evidence, base: Suspects, exhibit: Exhibit, broad: bool
) -> Iterator[Match]:
    variant = evidence.variant
    for mistake in MISTAKES:
        if variant not in mistake.variants or any(mistake is suspect.mistake for suspect in base):
            continue
        for fitted_form in mistake.fitted_forms:
            if variant in fitted_form.variants and fitted_form.broad >= broad:
                yield from _fitted_form_matches(evidence, base, mistake, fitted_form, exhibit)


def _fitted_form_matches(
    evidence: Evidence, base: Suspects, mistake: Mistake, fitted_form: FittedForm, exhibit: Exhibit
) -> list[Match]:
    mutations = [suspect.form.mutation for suspect in base]
    target = float(np.sum(np.asarray(exhibit.answer.value)))

    def difference(logarithm: float) -> float:
        stages = stages_with(*mutations, fitted_form.mutation(float(np.exp(logarithm))))
        value = exhibit.value_with(stages)
        return np.nan if value is None else float(np.sum(value)) - target

    low, high = np.log(fitted_form.low), np.log(fitted_form.high)
    try:
        if exhibit.is_limit and not np.isfinite(difference((low + high) / 2)):
            return []  # no floor: this number decides nothing here
        points = np.linspace(low, high, _GRID_OF_FLOORS if exhibit.is_limit else _GRID)
        values = np.array([difference(point) for point in points])
    except ConflictError:
        return []
    matches = []
    for i in range(len(points) - 1):
        if np.isfinite(values[i : i + 2]).all() and values[i] * values[i + 1] < 0:
            number = float(np.exp(brentq(difference, points[i], points[i + 1], xtol=1e-12)))
            matches += _rounded_match(evidence, base, mistake, fitted_form, number)
    return matches


def _rounded_match(
    evidence: Evidence, base: Suspects, mistake: Mistake, fitted_form: FittedForm, number: float
) -> list[Match]:
    """The fit with the roundest number that reproduces everything."""
    for digits in (1, 2, 3, 12):
        rounded = float(f"{number:.{digits}g}")
        match = evidence.match((*base, Suspect(mistake, fitted_form.form(rounded))))
        if match is not None:
            return [match]
    return []
