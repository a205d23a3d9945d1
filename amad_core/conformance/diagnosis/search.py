"""The search for mistakes that reproduce what a port answered: singles, pairs."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from amad_core.conformance.diagnosis.evidence import CANNOT_RUN, Evidence, Match, Suspect, Suspects
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
        pairs = _pairs_at(evidence, candidates, finite[0])
    matches = (evidence.match(pair) for pair in pairs)
    return [match for match in matches if match is not None]


def pair_candidates(evidence: Evidence, suspects: list[Suspect]) -> list[Suspect]:
    """What may be part of a pair: right where the port is right, as two mistakes do not cancel."""
    candidates = [suspect for suspect in suspects if suspect.form.in_pairs]
    for index in evidence.agreeing:
        candidates = [suspect for suspect in candidates if evidence.silent(suspect, index)]
    return candidates


def finite_cases(evidence: Evidence) -> list[int]:
    """Cases that differ from the specification in a finite value."""
    return [i for i in evidence.differing if np.isfinite(evidence.value_errors[i])]


def pair_distances(
    evidence: Evidence, suspects: list[Suspect], index: int
) -> list[tuple[float, Suspects]]:
    """Every pair that one case shows, and how far from the observed value it is there."""
    key = (index, *map(id, suspects))
    if key not in evidence.pair_distances:
        loud = [suspect for suspect in suspects if not evidence.silent(suspect, index)]
        evidence.pair_distances[key] = [
            (evidence.distance(pair, index), pair) for pair in _all_pairs(loud)
        ]
    return evidence.pair_distances[key]


def _visible(evidence: Evidence, suspects: list[Suspect]) -> list[Suspect]:
    """Mistakes that some gradient shows, given that no value does."""
    shown = evidence.wrong_gradients or evidence.answered
    return [suspect for suspect in suspects if _changes_gradient(evidence, suspect, shown[:3])]


def _changes_gradient(evidence: Evidence, suspect: Suspect, indices: list[int]) -> bool:
    stages = stages_with(suspect.form.mutation)
    for index in indices:
        try:
            predicted = observe(evidence.cases[index], stages)
        except CANNOT_RUN:
            return False
        budget, right = evidence.budgets[index], evidence.specified[index][1]
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
    if all(wraps[i] or _one_wraps(one[name], other[name]) for i, name in enumerate(shared)):
        yield first, second
        if any(wraps):
            yield second, first


def _one_wraps(one: Any, other: Any) -> bool:
    return isinstance(one, Wrap) or isinstance(other, Wrap)


def _pairs_at(evidence: Evidence, suspects: list[Suspect], index: int) -> Iterator[Suspects]:
    """Pairs that give the observed value of one case."""
    silent = [suspect for suspect in suspects if evidence.silent(suspect, index)]
    for suspect in suspects:
        if suspect not in silent and evidence.value_fits(index, evidence.value(suspect, index)):
            for other in silent:
                yield from possible_orders(suspect, other)
    for distance, pair in pair_distances(evidence, suspects, index):
        if distance <= evidence.budgets[index].value:
            yield pair
