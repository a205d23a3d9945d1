"""How time and memory grow with a size: slopes in a log-log picture, fitted by least squares."""

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from scipy.stats import linregress

from benchmarks.speed.plans import FULL
from benchmarks.speed.results import Measured, Results

FITTED_FROM = {"tokens": 128}
"""Smaller sizes are drawn, but tell of a call's own cost."""

RESOLUTION = 2**18
"""Bytes: less extra memory than that is nothing that grows."""


@dataclass(frozen=True)
class Exponent:
    """``y ~ x^slope``, with the slope's standard error; ``points`` were fitted."""

    what: str
    variant: str
    axis: str
    peer: str
    slope: float
    error: float
    points: int


def size(one: Measured, axis: str) -> int:
    """The size that a sweep changes."""
    found: int = getattr(one.case, axis.replace(" ", "_"))
    return found


def sweep(results: Results, variant: str, axis: str) -> list[Measured]:
    """Its cases, from small to large."""
    found = [
        one for one in results.cases.values()
        if one.case.group == axis and one.case.variant == variant
    ]  # fmt: skip
    return sorted(found, key=lambda one: size(one, axis))


def series(cases: list[Measured], axis: str, peer: str, what: str) -> tuple[list[int], list[float]]:
    """Sizes, and seconds or bytes of a peer; memory below what can be resolved is left out."""
    points = []
    for one in cases:
        values = one.medians if what == "time" else one.peaks
        if peer in values and (what == "time" or values[peer] >= RESOLUTION):
            points.append((size(one, axis), float(values[peer])))
    return [x for x, _ in points], [y for _, y in points]


def exponents(results: Results, what: str) -> Iterator[Exponent]:
    """Of every sweep and peer with three points or more."""
    variants = dict.fromkeys(one.case.variant for one in results.cases.values())
    for variant in variants:
        for axis in FULL.sweeps:
            cases = sweep(results, variant, axis)
            for peer in dict.fromkeys(peer for one in cases for peer in one.case.peers):
                sizes, values = series(cases, axis, peer, what)
                start = bisect_left(sizes, FITTED_FROM.get(axis, 0))
                points = [[math.log(one) for one in each[start:]] for each in (sizes, values)]
                if len(points[0]) >= 3:
                    fit = linregress(*points)
                    exact = len(set(points[1])) == 1  # a line through points that are all alike
                    found = float(fit.slope), 0.0 if exact else float(fit.stderr)
                    yield Exponent(what, variant, axis, peer, *found, len(points[0]))
