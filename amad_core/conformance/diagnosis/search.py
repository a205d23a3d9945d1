"""The search for mistakes that reproduce what a port answered: singles, pairs."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from amad_core.conformance.diagnosis.evidence import Evidence, Match
from amad_core.conformance.diagnosis.exhibit import (
    CANNOT_RUN,
    Exhibit,
    Suspect,
    Suspects,
)
from amad_core.conformance.diagnosis.mistakes import MISTAKES
from amad_core.conformance.diagnosis.pipeline import (
    Wrap,
    observe,
    stages_with,
)
from amad_core.conformance.diagnosis.relative_tolerance import relative_distance


def all_suspects(variant: str) -> list[Suspect]:
    """Every way to make every known mistake of a variant."""
    return [
        Suspect(mistake, form)
        for mistake in MISTAKES
        if variant in mistake.variants
        for form in mistake.forms
        if variant in form.variants
    ]


def single_matches(evidence: Evidence, suspects: list[Suspect]) -> list[Match]:
    """Every single mistake that reproduces everything."""
    matches = (evidence.match((suspect,)) for suspect in suspects)
    return [match for match in matches if match is not None]


def pair_matches(evidence: Evidence, suspects: list[Suspect]) -> list[Match]:
    """Every pair of mistakes that reproduces everything."""
    candidates = pair_candidates(evidence, suspects)
    finite = finite_cases(evidence)
    if not finite:
        pairs = _all_pairs(_visible(evidence, candidates))
    else:
        pairs = _pairs_at(finite[0], candidates)
    matches = (evidence.match(pair) for pair in pairs)
    return [match for match in matches if match is not None]


def pair_candidates(evidence: Evidence, suspects: list[Suspect]) -> list[Suspect]:
    """What may be part of a pair: right where the port is right, as two mistakes do not cancel."""
    candidates = [suspect for suspect in suspects if suspect.form.in_pairs]
    for exhibit in evidence.agreeing:
        candidates = [suspect for suspect in candidates if exhibit.silent(suspect)]
    return candidates


def finite_cases(evidence: Evidence) -> list[Exhibit]:
    """Cases that differ from the specification in a finite value."""
    return [one for one in evidence.differing if np.isfinite(one.value_error)]


def pair_distances(exhibit: Exhibit, suspects: list[Suspect]) -> list[tuple[float, Suspects]]:
    """Every pair that one case shows, and how far from the observed value it is there."""
    key = tuple(map(id, suspects))
    if key not in exhibit.pair_distances:
        loud = [suspect for suspect in suspects if exhibit.runs(suspect)]
        loud = [suspect for suspect in loud if not exhibit.silent(suspect)]
        exhibit.pair_distances[key] = [(exhibit.distance(pair), pair) for pair in _all_pairs(loud)]
    return exhibit.pair_distances[key]


def _visible(evidence: Evidence, suspects: list[Suspect]) -> list[Suspect]:
    """Mistakes that some gradient shows, given that no value does."""
    shown = evidence.wrong_gradients or evidence.answered
    return [suspect for suspect in suspects if _changes_gradient(suspect, shown[:3])]


def _changes_gradient(suspect: Suspect, exhibits: list[Exhibit]) -> bool:
    stages = stages_with(suspect.form.mutation)
    for exhibit in exhibits:
        try:
            predicted = observe(exhibit.case, stages)
        except CANNOT_RUN:
            return False
        budget, right = exhibit.tolerance, exhibit.right_gradient
        distance = relative_distance(predicted.grad_student, right, budget.small_gradient)
        if distance > budget.gradient or np.any(predicted.grad_teacher):
            return True
    return False


def _all_pairs(suspects: list[Suspect]) -> Iterator[Suspects]:
    for first, second in itertools.combinations(suspects, 2):
        yield from possible_orders(first, second)


def possible_orders(first: Suspect, second: Suspect) -> Iterator[Suspects]:
    """The pair if one port can make both, and the other order too where it matters."""
    if first.mistake is second.mistake:
        return
    one, other = first.form.mutation, second.form.mutation
    shared = [name for name in one if name in other]
    wraps = [isinstance(one[name], Wrap) and isinstance(other[name], Wrap) for name in shared]
    if all(_one_wraps(one[name], other[name]) for name in shared):
        yield first, second
        if any(wraps):
            yield second, first


def _one_wraps(one: Any, other: Any) -> bool:
    return isinstance(one, Wrap) or isinstance(other, Wrap)


def _pairs_at(exhibit: Exhibit, suspects: list[Suspect]) -> Iterator[Suspects]:
    """Pairs that give the observed value of one case."""
    silent = [suspect for suspect in suspects if exhibit.silent(suspect)]
    for suspect in suspects:
        if suspect not in silent and exhibit.value_matches(exhibit.value(suspect)):
            for other in silent:
                yield from possible_orders(suspect, other)
    for distance, pair in pair_distances(exhibit, suspects):
        if distance <= exhibit.tolerance.value:
            yield pair
