"""Times of peers that take turns, so that whatever else a machine does falls on all alike."""

import time
from collections.abc import Callable, Mapping

Turn = Callable[[], object]

CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
"""``processor`` counts this process's own seconds: for a machine that has other work."""


def interleaved(
    turns: Mapping[str, Turn], *, seconds: float, fewest: int, most: int, clock: str
) -> dict[str, list[float]]:
    """Seconds of each turn of each peer, by rounds in which everybody has one.

    Each has had a turn before that is not counted: it compiles, traces and takes memory. Every
    round starts with another peer.
    """
    for turn in turns.values():
        turn()
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
