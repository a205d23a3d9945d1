"""Which cases are measured: all of them, a quick look, or sizes that somebody names."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.speed.cases import (
    BUILT,
    COMPILED_PORT,
    FROM_QUERIES_KEYS,
    OURS,
    OURS_COMPILED,
    PARTS,
    PEERS,
    STREAMED,
    VARIANTS,
    Case,
)

BatchByTokens = Mapping[int, int]

SHOWN = VARIANTS[:2]
"""Those of which there are pictures: one without a mixture, and one with."""


@dataclass(frozen=True)
class Plan:
    """Sizes, and how long each case is measured.

    Attributes:
        sizes: of each part, batch sizes by the number of tokens.
        sweeps: for each size that is changed, its values, and what the others are meanwhile.
        models: batch sizes by the number of tokens, or patches, of each model of a training step.
        memory: batch sizes by tokens of the loss from queries and keys beside its peers.
        alone: likewise, where maps are too large to be built.
        compiled: the variants for which peers are compiled.
        seconds, fewest, most: a case of a part is measured for so long, in so many rounds at least
            and at most.
        swept: seconds, for each point of a sweep.
    """

    sizes: Mapping[str, BatchByTokens]
    sweeps: Mapping[str, tuple[Sequence[int], Mapping[str, int]]]
    models: Mapping[str, BatchByTokens]
    memory: BatchByTokens
    alone: BatchByTokens
    compiled: Sequence[str]
    seconds: Mapping[str, float]
    fewest: int
    most: int
    swept: float

    def effort(self, case: Case) -> dict[str, float]:
        """How long a case is measured, for ``timing.interleaved``."""
        seconds = self.swept if case.group in self.sweeps else self.seconds.get(case.part, 0)
        return {"seconds": seconds, "fewest": self.fewest, "most": self.most}

    def cases(self, part: str) -> list[Case]:
        """Those of a part, in order."""
        return list({"step": self._steps, "memory": self._peaks}.get(part, self._times)(part))

    def _times(self, part: str) -> Iterator[Case]:
        yield from self.at_sizes(part, self.sizes[part], VARIANTS)
        if part == "maps":
            yield from self._swept(part, [name for name in PEERS[part] if name != OURS_COMPILED])
        if part == "tensorflow":
            peers = FROM_QUERIES_KEYS[part]
            batches = self.sizes["tensorflow from queries and keys"]
            yield from self.from_queries_keys(batches, SHOWN, peers, part)
            # Of maps that few, ours are built maps.
            batches = self.sizes["tensorflow memory"]
            yield from self.from_queries_keys(batches, SHOWN, (STREAMED, BUILT), part, "memory")
            batches = self.sizes["tensorflow memory, alone"]
            yield from self.from_queries_keys(batches, SHOWN, (STREAMED,), part, "memory")

    def _peaks(self, part: str) -> Iterator[Case]:
        yield from self.at_sizes(part, self.sizes["maps"], VARIANTS)
        yield from self._swept(part, [name for name in PEERS[part] if name != COMPILED_PORT])
        yield from self.from_queries_keys(self.memory, SHOWN, FROM_QUERIES_KEYS[part])
        yield from self.from_queries_keys(self.alone, SHOWN, (OURS,))

    def from_queries_keys(
        self,
        batches: BatchByTokens,
        variants: Sequence[str],
        peers: Sequence[str],
        part: str = "memory",
        group: str = "queries and keys",
    ) -> Iterator[Case]:
        """Cases of a part that has other groups, too, where queries and keys are given."""
        for variant in variants:
            for tokens, batch in batches.items():
                yield Case(part, group, variant, batch, tokens, tuple(peers))

    def _steps(self, part: str) -> Iterator[Case]:
        for model, batches in self.models.items():
            for tokens, batch in batches.items():
                yield Case(part, model, "mse and kl", batch, tokens, PEERS[part])

    def at_sizes(
        self, part: str, batches: BatchByTokens, variants: Sequence[str]
    ) -> Iterator[Case]:
        """One case for each variant and number of tokens."""
        for variant in variants:
            for tokens, batch in batches.items():
                peers = self._peers(PEERS[part], variant)
                if part == "memory" and variant not in SHOWN:  # a compiler takes its time
                    peers = tuple(name for name in peers if name != COMPILED_PORT)
                yield Case(part, "sizes", variant, batch, tokens, peers)

    def _swept(self, part: str, peers: Sequence[str]) -> Iterator[Case]:
        for variant in SHOWN:
            chosen = self._peers(peers, variant)
            for axis, (values, others) in self.sweeps.items():
                sizes: dict[str, Any] = dict(others)
                for value in values:
                    sizes[axis.replace(" ", "_")] = value
                    yield replace(Case(part, axis, variant, 0, 0, chosen, dynamic=True), **sizes)

    def _peers(self, peers: Sequence[str], variant: str) -> tuple[str, ...]:
        compiles = variant in self.compiled
        return tuple(name for name in peers if compiles or "compiled" not in name)


FULL = Plan(
    sizes={
        "maps": {64: 8, 197: 8, 512: 4, 1024: 1},
        "queries-keys": {512: 1, 1024: 1, 2048: 1},
        "tensorflow": {64: 8, 197: 8, 512: 4},
        "tensorflow from queries and keys": {512: 1, 1024: 1, 2048: 1},
        "tensorflow memory": {2048: 1},
        "tensorflow memory, alone": {4096: 1},
    },
    sweeps={
        "tokens": ((32, 64, 128, 181, 256, 362, 512, 724), {"batch": 1}),
        "teacher heads": ((2, 4, 8, 16, 32), {"batch": 2, "tokens": 128}),
        "student heads": ((2, 4, 8, 16, 32), {"batch": 2, "tokens": 128}),
        "batch": ((1, 2, 4, 8, 16), {"tokens": 128}),
    },
    models={"BLIP-like": {197: 4, 577: 1}, "GPT-2-like": {256: 4, 1024: 1}},
    memory={512: 1, 1024: 1, 2048: 1},
    alone={4096: 1, 8192: 1},
    compiled=VARIANTS,
    seconds={"maps": 4, "queries-keys": 3, "tensorflow": 3, "step": 6},
    fewest=3,
    most=30,
    swept=0.7,
)

QUICK = Plan(
    sizes={
        "maps": {64: 8, 197: 2},
        "queries-keys": {512: 1},
        "tensorflow": {64: 8},
        "tensorflow from queries and keys": {512: 1},
        "tensorflow memory": {512: 1},
        "tensorflow memory, alone": {1024: 1},
    },
    sweeps={
        "tokens": ((64, 256), {"batch": 1}),
        "teacher heads": ((16,), {"batch": 1, "tokens": 64}),
        "student heads": ((16,), {"batch": 1, "tokens": 64}),
        "batch": ((4,), {"tokens": 64}),
    },
    models={"BLIP-like": {197: 1}, "GPT-2-like": {256: 1}},
    memory={512: 1},
    alone={1024: 1},
    compiled=(),
    seconds=dict.fromkeys(PARTS, 0.5),
    fewest=3,
    most=10,
    swept=0.2,
)

TINY = Plan(
    sizes={
        "maps": {5: 2},
        "queries-keys": {6: 1},
        "tensorflow": {5: 2},
        "tensorflow from queries and keys": {5: 2},
        "tensorflow memory": {6: 1},
        "tensorflow memory, alone": {},
    },
    sweeps={
        "tokens": ((4,), {"batch": 1}),
        "teacher heads": ((2,), {"batch": 1, "tokens": 4}),
        "student heads": ((3,), {"batch": 1, "tokens": 4}),
        "batch": ((2,), {"tokens": 4}),
    },
    models={"BLIP-like": {17: 2}, "GPT-2-like": {6: 2}},
    memory={6: 1},
    alone={8: 1},
    compiled=(),
    seconds={},
    fewest=2,
    most=2,
    swept=0,
)
"""Sizes of which times say nothing: to see that everything runs."""

PLANS = {"full": FULL, "quick": QUICK, "tiny": TINY}
