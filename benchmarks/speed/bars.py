"""What the library aims at in speed and memory, as data, and how a run did."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.speed.cases import (
    BUILT_PORT,
    COMPILED_PORT,
    ONE_TO_ONE,
    OURS,
    OURS_COMPILED,
    PORT,
    STREAMED,
    VARIANTS,
)
from benchmarks.speed.plans import SHOWN
from benchmarks.speed.results import Measured, Results

Unit = Literal["times as fast", "times the gradient", "MB", "times that of half the tokens"]

ALL = VARIANTS
MIXED = VARIANTS[1:]
"""Those with a mixture."""


@dataclass(frozen=True)
class Bar:
    """One target.

    Attributes:
        target: in words.
        limits: by the number of tokens: at least so many times as fast, at most so much memory.
        ours, other: peers that are compared; memory has no other.
    """

    target: str
    part: str
    group: str
    variants: Sequence[str]
    limits: Mapping[int, float]
    ours: str
    other: str = ""
    unit: Unit = "times as fast"


_EVERYWHERE = {64: 1.0, 197: 1.0, 512: 1.0, 1024: 1.0}

BARS = (
    Bar(
        "mse from maps is several times as fast as the straightforward port",
        "maps", "sizes", ("mse",), {64: 4, 197: 6, 512: 8, 1024: 7}, OURS, PORT,
    ),
    Bar(
        "mse from maps is faster than torch.compile of that port",
        "maps", "sizes", ("mse",), _EVERYWHERE, OURS, COMPILED_PORT,
    ),
    Bar(
        "kl, js and token from maps are several times as fast as the port",
        "maps", "sizes", MIXED, {197: 3, 512: 4, 1024: 4}, OURS, PORT,
    ),
    Bar(
        "kl, js and token, compiled, are at least as fast as the compiled port",
        "maps", "sizes", MIXED, _EVERYWHERE, OURS_COMPILED, COMPILED_PORT,
    ),
    Bar(
        "mse of long sequences costs no more than one-to-one MSE of the student's heads",
        "maps", "sizes", ("mse",), {512: 1, 1024: 1}, OURS, ONE_TO_ONE,
    ),
    Bar(
        "mse from maps takes little memory beside its gradient",
        "memory", "sizes", ("mse",), dict.fromkeys((197, 512, 1024), 1.1), OURS,
        unit="times the gradient",
    ),
    Bar(
        "kl, js and token from maps take little memory beside their gradient",
        "memory", "sizes", MIXED, dict.fromkeys((197, 512, 1024), 1.3), OURS,
        unit="times the gradient",
    ),
    Bar(
        "from queries and keys, several times as fast as building both maps for the port",
        "queries-keys", "sizes", ALL, {512: 1.9, 1024: 3.6, 2048: 4.9}, OURS, BUILT_PORT,
    ),
    Bar(
        "from queries and keys, little memory where the maps alone are 5.4 GB",
        "memory", "queries and keys", SHOWN, {8192: 300}, OURS, unit="MB",
    ),
    Bar(
        "from queries and keys, memory grows linearly with the number of tokens",
        "memory", "queries and keys", SHOWN, {8192: 2.2}, OURS,
        unit="times that of half the tokens",
    ),
    Bar(
        "mse in a TensorFlow graph is several times as fast as the port",
        "tensorflow", "sizes", ("mse",), {197: 3, 512: 3}, "ours, graph", "port, graph",
    ),
    Bar(
        "kl in a TensorFlow graph is twice as fast as the port",
        "tensorflow", "sizes", ("kl",), {197: 2, 512: 2}, "ours, graph", "port, graph",
    ),
    Bar(
        "in TensorFlow, streamed from queries and keys, little memory where the maps alone are "
        "1.3 GB",
        "tensorflow", "memory", SHOWN, {4096: 100}, STREAMED, unit="MB",
    ),
    *(
        Bar(
            f"in TensorFlow, {told}, never slower than the port",
            "tensorflow", "sizes", ALL, {64: 1, 197: 1, 512: 1}, f"ours, {way}", f"port, {way}",
        )
        for way, told in (("graph", "in a graph"), ("XLA", "under XLA"), ("eager", "eagerly"))
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """How one target did at one variant: every size's figure beside its limit."""

    bar: Bar
    variant: str
    found: Mapping[int, float]

    @property
    def missed(self) -> list[int]:
        """The numbers of tokens at which it is missed."""
        limits = self.bar.limits
        faster = self.bar.unit == "times as fast"
        return [
            tokens for tokens, value in self.found.items()
            if (value < limits[tokens] if faster else value > limits[tokens])
        ]  # fmt: skip

    @property
    def said(self) -> str:
        """``met``, ``not met``, or that it was not measured."""
        if not self.found:
            return "not measured"
        return "not met" if self.missed else "met"


def verdicts(results: Mapping[str, Results]) -> Iterator[Verdict]:
    """Of every target and variant, as far as it was measured."""
    for bar in BARS:
        cases = results[bar.part].cases.values() if bar.part in results else ()
        for variant in bar.variants:
            by_tokens = {
                one.case.tokens: one for one in cases
                if (one.case.group, one.case.variant) == (bar.group, variant)
                and bar.ours in {**one.medians, **one.peaks}
            }  # fmt: skip
            found = {tokens: _figure(bar, tokens, by_tokens) for tokens in bar.limits}
            yield Verdict(bar, variant, {n: value for n, value in found.items() if value})


def _figure(bar: Bar, tokens: int, cases: Mapping[int, Measured]) -> float | None:
    one, half = cases.get(tokens), cases.get(tokens // 2)
    if one is None:
        return None
    if bar.unit == "times that of half the tokens":
        return one.peaks[bar.ours] / half.peaks[bar.ours] if half else None
    if bar.unit == "times as fast":
        medians = one.medians
        return medians[bar.other] / medians[bar.ours] if bar.other in medians else None
    divisor = 1e6 if bar.unit == "MB" else one.found["gradient"]
    return one.peaks[bar.ours] / divisor
