"""Beyond pairs of catalogue entries: what nearly fits, with one further mistake or fitted number.

Public ports often make two mistakes of size and add a small number for safety. The small number
keeps every pair from fitting exactly; so the nearest singles and pairs are each tried with every
third mistake, and with every number that can be fitted.
"""

from collections.abc import Iterator

import numpy as np
from scipy.optimize import brentq

from amad_core.conformance.diagnosis.evidence import Evidence, Fit, Part, Parts
from amad_core.conformance.diagnosis.mistakes import MISTAKES, Family, Mistake, Version
from amad_core.conformance.diagnosis.pipeline import ConflictError, stages_with
from amad_core.conformance.diagnosis.search import finite_cases, pair_candidates, pair_distances

_NEAR = 0.05
"""A single or a pair is near when its values are within this relative distance."""

_BASES = 8
"""So many of the nearest are extended."""

_LOOKED_AT = 200
"""So many that are near on one case are compared on further ones."""

_GRID = 25
"""Points at which a number to fit is tried before its roots are sought."""


def extended_fits(evidence: Evidence, parts: list[Part]) -> list[Fit]:
    """The nearest singles and pairs with a third mistake or a fitted number, if that fits all."""
    candidates, finite = pair_candidates(evidence, parts), finite_cases(evidence)
    if not finite:
        return []
    nearest = _nearest(evidence, candidates, finite[:4])
    fits = [fit for base in nearest for fit in _with_third(evidence, base, parts, finite[0])]
    if fits:
        return fits
    fits = [fit for base in nearest for fit in fitted_fits(evidence, base)]
    if fits:
        return fits
    factors = _different(evidence, [part for part in candidates if _is_factor(part)], finite[0])
    return [fit for part in factors for fit in fitted_fits(evidence, (part,), broad=True)]


def _is_factor(part: Part) -> bool:
    """Whether a mistake multiplies the loss by something, so that no other one is near to it."""
    return set(part.version.deviation) <= {"per_sample", "reduced"}


def _different(evidence: Evidence, parts: list[Part], index: int) -> list[Part]:
    """One part for each value that the parts give."""
    by_value = {float(np.sum(evidence.value(part, index))): part for part in reversed(parts)}
    return list(by_value.values())


def _nearest(evidence: Evidence, parts: list[Part], indices: list[int]) -> list[Parts]:
    """Singles and pairs whose values are near the observed ones, the nearest first."""
    first, rest = indices[0], indices[1:]
    distances: list[tuple[float, Parts]] = [
        (evidence.distance((part,), first), (part,)) for part in parts
    ]
    near = [row for row in distances + pair_distances(evidence, parts, first) if row[0] < _NEAR]
    near.sort(key=lambda row: row[0])
    ranked = [
        (max([distance, *(evidence.distance(combination, index) for index in rest)]), combination)
        for distance, combination in near[:_LOOKED_AT]
    ]
    ranked.sort(key=lambda row: row[0])
    return [combination for worst, combination in ranked[:_BASES] if worst < _NEAR]


def _with_third(evidence: Evidence, base: Parts, parts: list[Part], index: int) -> Iterator[Fit]:
    for part in parts:
        if len(base) == 1 or any(part.mistake is one.mistake for one in base):
            continue
        try:
            if evidence.distance((*base, part), index) > evidence.budgets[index].value:
                continue
            fit = evidence.fit((*base, part))
        except ConflictError:
            continue
        if fit is not None:
            yield fit


def fitted_fits(evidence: Evidence, base: Parts = (), broad: bool = False) -> list[Fit]:
    """``base`` and one more mistake whose number (a temperature, an eps) is fitted.

    It is fitted to one case and verified on all. A value need not be monotonic in the number, so
    that roots can be missed on one case; another is tried where nothing comes of the first. With
    ``broad`` only the families are tried that change the loss a lot.
    """
    finite = [i for i in evidence.answered if np.isfinite(evidence.value_errors[i])]
    clearest = sorted(finite, key=lambda i: -float(evidence.value_errors[i]))
    for index in dict.fromkeys([*clearest[:1], *finite[:1]]):
        fits = list(_fits_of_families(evidence, base, index, broad))
        if fits:
            return fits
    return []


def _fits_of_families(evidence: Evidence, base: Parts, index: int, broad: bool) -> Iterator[Fit]:
    variant = evidence.cases[0].variant
    for mistake in MISTAKES:
        if variant not in mistake.variants or any(mistake is part.mistake for part in base):
            continue
        for family in mistake.families:
            if variant in family.variants and family.broad >= broad:
                yield from _family_fits(evidence, base, mistake, family, index)


def _family_fits(
    evidence: Evidence, base: Parts, mistake: Mistake, family: Family, index: int
) -> list[Fit]:
    deviations = [part.version.deviation for part in base]
    target = float(np.sum(np.asarray(evidence.observations[index].value)))

    def difference(logarithm: float) -> float:
        stages = stages_with(*deviations, family.deviation(float(np.exp(logarithm))))
        value = evidence.value_with(stages, index)
        return np.nan if value is None else float(np.sum(value)) - target

    points = np.linspace(np.log(family.low), np.log(family.high), _GRID)
    try:
        values = np.array([difference(point) for point in points])
    except ConflictError:
        return []
    fits = []
    for i in range(_GRID - 1):
        if np.isfinite(values[i : i + 2]).all() and values[i] * values[i + 1] < 0:
            number = float(np.exp(brentq(difference, points[i], points[i + 1], xtol=1e-12)))
            fits += _rounded_fit(evidence, base, mistake, family, number)
    return fits


def _rounded_fit(
    evidence: Evidence, base: Parts, mistake: Mistake, family: Family, number: float
) -> list[Fit]:
    """The fit with the roundest number that reproduces everything."""
    for digits in (1, 2, 3, 12):
        rounded = float(f"{number:.{digits}g}")
        version = Version(family.label.format(rounded), family.deviation(rounded))
        fit = evidence.fit((*base, Part(mistake, version)))
        if fit is not None:
            return [fit]
    return []
