"""Milliseconds by CUDA events and peak memory beside the inputs; on a CPU, that it runs."""

import statistics
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch

Turn = Callable[[], Any]


def measured(turns: Mapping[str, Turn | float]) -> dict[str, Any]:
    """Of each peer raw milliseconds and megabytes; a number is milliseconds that were derived.

    What did not fit into memory is ``None``.
    """
    found: dict[str, Any] = {}
    for name, turn in turns.items():
        if isinstance(turn, float):
            found[name] = {"milliseconds": [turn]}
            continue
        try:
            found[name] = timed(turn)
        except torch.OutOfMemoryError:
            found[name] = None
    return found


def timed(turn: Turn, seconds: float = 1.0) -> dict[str, Any]:
    """Rounds of one peer, of a turn each: 3 at least, 50 at most."""
    if not torch.cuda.is_available():
        start = time.perf_counter()
        turn()
        return {"milliseconds": [1000 * (time.perf_counter() - start)]}
    turn()  # compiles
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    times: list[float] = []
    event: Any = torch.cuda.Event
    until = time.monotonic() + seconds
    while len(times) < 3 or (time.monotonic() < until and len(times) < 50):
        first, last = (event(enable_timing=True) for _ in range(2))
        first.record()
        turn()
        last.record()
        last.synchronize()
        times.append(first.elapsed_time(last))
    peak = (torch.cuda.max_memory_allocated() - before) / 2**20
    return {"milliseconds": times, "megabytes": peak}


@cache
def copy_bandwidth() -> float:
    """Bytes a second that a copy of a gibibyte reads and writes."""
    one, other = (torch.empty(2**30, dtype=torch.uint8, device="cuda") for _ in range(2))
    copied = timed(lambda: one.copy_(other), 0.2)["milliseconds"]
    return 1000 * 2 * 2**30 / float(statistics.median(copied))
