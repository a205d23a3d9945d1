"""What the kernels aim at on an H100 or H200, as data, and how a run did."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

Rows = Mapping[str, Mapping[str, Any]]
"""By case: of each peer what ``timing.measured`` found."""


@dataclass(frozen=True)
class Aim:
    """``ours`` takes at most ``limit`` times as long as ``other``."""

    case: str
    other: str
    limit: float


AIMS = (
    Aim("maps, mse", "floor", 1.5),
    Aim("maps, kl", "floor", 1.5),
    Aim("queries and keys, kl, 8192 tokens", "mean map kl", 1.5),
    *(
        Aim(f"queries and keys, {variant}, 8192 tokens", other, limit)
        for variant in ("mse", "kl")
        for other, limit in (("flash", 2), ("built maps, port", 1 / 5))
    ),
)

LINEAR = 1.1
"""Doubling the tokens takes at most 2 to this power times the memory, up to the most tokens."""


def verdicts(rows: Rows) -> Iterator[str]:
    """A line for each aim."""
    for aim in AIMS:
        found = rows.get(aim.case, {})
        times = {name: median(one["milliseconds"]) for name, one in found.items() if one}
        told = f"{aim.case}: at most {aim.limit:.3g} times {aim.other}"
        if {"ours", aim.other} <= set(times):
            ratio = times["ours"] / times[aim.other]
            yield f"{told}: {ratio:.3g}, {'met' if ratio <= aim.limit else 'not met'}"
        else:
            yield f"{told}: not measured"
    for variant in ("mse", "kl"):
        yield _linear(rows, variant)


def _linear(rows: Rows, variant: str) -> str:
    peaks = {
        int(name.split()[-2]): row["ours"]["megabytes"]
        for name, row in rows.items()
        if name.startswith(f"queries and keys, {variant},") and "megabytes" in (row["ours"] or {})
    }
    told = f"queries and keys, {variant}: memory linear in tokens"
    if len(peaks) < 2:
        return f"{told}: not measured"
    least, most = min(peaks), max(peaks)
    growth, allowed = peaks[most] / peaks[least], (most / least) ** LINEAR
    said = "met" if growth <= allowed else "not met"
    return f"{told}: {growth:.3g} times from {least} to {most}, {said}"
