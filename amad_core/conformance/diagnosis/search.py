"""The search for mistakes that reproduce what a port answered: singles, pairs."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from amad_core.conformance.diagnosis.evidence import CANNOT_RUN, Evidence, Fit, Part, Parts
from amad_core.conformance.diagnosis.mistakes import MISTAKES
from amad_core.conformance.diagnosis.pipeline import (
    Around,
    observe,
    stages_with,
)
from amad_core.conformance.diagnosis.relative_tolerance import relative_distance


def all_parts(variant: str) -> list[Part]:
    """Every way to make every known mistake of a variant."""
    return [
        Part(mistake, version)
        for mistake in MISTAKES
        if variant in mistake.variants
        for version in mistake.versions
        if variant in version.variants
    ]


def single_fits(evidence: Evidence, parts: list[Part]) -> list[Fit]:
    """Every single mistake that reproduces everything."""
    fits = (evidence.fit((part,)) for part in parts)
    return [fit for fit in fits if fit is not None]


def pair_fits(evidence: Evidence, parts: list[Part]) -> list[Fit]:
    """Every pair of mistakes that reproduces everything."""
    candidates = pair_candidates(evidence, parts)
    finite = finite_cases(evidence)
    if not finite:
        pairs = _all_pairs(_visible(evidence, candidates))
    else:
        pairs = _pairs_at(evidence, candidates, finite[0])
    fits = (evidence.fit(pair) for pair in pairs)
    return [fit for fit in fits if fit is not None]


def pair_candidates(evidence: Evidence, parts: list[Part]) -> list[Part]:
    """What may be part of a pair: right where the port is right, as two mistakes do not cancel."""
    candidates = [part for part in parts if part.version.in_pairs]
    for index in evidence.agreeing:
        candidates = [part for part in candidates if evidence.silent(part, index)]
    return candidates


def finite_cases(evidence: Evidence) -> list[int]:
    """Cases that differ from the specification in a finite value."""
    return [i for i in evidence.differing if np.isfinite(evidence.value_errors[i])]


def pair_distances(evidence: Evidence, parts: list[Part], index: int) -> list[tuple[float, Parts]]:
    """Every pair that one case shows, and how far from the observed value it is there."""
    key = (index, *map(id, parts))
    if key not in evidence.pair_distances:
        loud = [part for part in parts if not evidence.silent(part, index)]
        evidence.pair_distances[key] = [
            (evidence.distance(pair, index), pair) for pair in _all_pairs(loud)
        ]
    return evidence.pair_distances[key]


def _visible(evidence: Evidence, parts: list[Part]) -> list[Part]:
    """Mistakes that some gradient shows, given that no value does."""
    shown = evidence.wrong_gradients or evidence.answered
    return [part for part in parts if _changes_gradient(evidence, part, shown[:3])]


def _changes_gradient(evidence: Evidence, part: Part, indices: list[int]) -> bool:
    stages = stages_with(part.version.deviation)
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


def _all_pairs(parts: list[Part]) -> Iterator[Parts]:
    for first, second in itertools.combinations(parts, 2):
        yield from possible_orders(first, second)


def possible_orders(first: Part, second: Part) -> Iterator[Parts]:
    """The pair if one port can make both, and the other order too where it matters."""
    if first.mistake is second.mistake:
        return
    one, other = first.version.deviation, second.version.deviation
    shared = [name for name in one if name in other]
    wraps = [isinstance(one[name], Around) and isinstance(other[name], Around) for name in shared]
    if all(wraps[i] or _one_wraps(one[name], other[name]) for i, name in enumerate(shared)):
        yield first, second
        if any(wraps):
            yield second, first


def _one_wraps(one: Any, other: Any) -> bool:
    return isinstance(one, Around) or isinstance(other, Around)


def _pairs_at(evidence: Evidence, parts: list[Part], index: int) -> Iterator[Parts]:
    """Pairs that give the observed value of one case."""
    silent = [part for part in parts if evidence.silent(part, index)]
    for part in parts:
        if part not in silent and evidence.value_fits(index, evidence.value(part, index)):
            for other in silent:
                yield from possible_orders(part, other)
    for distance, pair in pair_distances(evidence, parts, index):
        if distance <= evidence.budgets[index].value:
            yield pair
