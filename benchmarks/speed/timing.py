"""Times of peers that take turns, so that whatever else a machine does falls on all alike."""

import time
from collections.abc import Callable, Mapping
from typing import Any

Turn = Callable[[], Any]

CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
"""``processor`` counts this process's own seconds: for a machine that has other work."""


def first(turns: Mapping[str, Turn]) -> dict[str, Any]:
    """What each peer's first turn gives, which is not timed."""
    return {name: turn() for name, turn in turns.items()}


def interleaved(
    turns: Mapping[str, Turn], *, seconds: float, fewest: int, most: int, clock: str
) -> dict[str, list[float]]:
    """Seconds of each turn of each peer, by rounds in which everybody has one.

    Every round starts with another peer. Each has had a turn before, that compiles, traces and
    takes memory (``first``).
    """
    now = CLOCKS[clock]
    times: dict[str, list[float]] = {name: [] for name in turns}
    order = list(turns)
    begun = time.monotonic()
    for count in range(most):
        if count >= fewest and time.monotonic() - begun > seconds:
            break
        for name in order:
            start = now()
            turns[name]()
            times[name].append(now() - start)
        order.append(order.pop(0))
    return times
