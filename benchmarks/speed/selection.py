"""Less than a whole plan: what somebody names on the command line."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.speed.cases import ATTENTION, FROM_QUERIES_KEYS, PEERS, VARIANTS, Case
from benchmarks.speed.plans import Plan

MORE_PEERS = {
    "maps": ("plain form",),
    "memory": ("plain form", *FROM_QUERIES_KEYS["memory"]),
    "tensorflow": FROM_QUERIES_KEYS["tensorflow"],
}
"""Measured on request, or in some groups."""


@dataclass(frozen=True)
class Selection:
    """Variants, groups, peers, and sizes of one's own; nothing named: everything.

    ``batch``, heads and ``causal`` are for ``tokens``, which take the place of the plan's sizes.
    """

    variants: Sequence[str]
    groups: Sequence[str]
    peers: Sequence[str]
    tokens: Sequence[int]
    batch: int
    teacher_heads: int
    student_heads: int
    causal: bool

    @property
    def is_less(self) -> bool:
        """Whether something is left out."""
        return bool(self.variants or self.groups or self.peers or self.tokens)


def chosen_cases(plan: Plan, part: str, selection: Selection) -> list[Case]:
    """The plan's cases, or those of one's own.

    Raises:
        ValueError: a peer that the part has not, sizes of one's own for training steps, nothing
            that fits.
    """
    _check_peers(part, selection.peers)
    cases = _own(plan, part, selection) if selection.tokens else plan.cases(part)
    if selection.groups:
        cases = [case for case in cases if case.group in selection.groups]
    if selection.variants:
        cases = [case for case in cases if case.variant in selection.variants]
    if selection.peers:
        cases = [replace(case, peers=_kept(case, selection.peers)) for case in cases]
        cases = [case for case in cases if case.peers]
    if not cases:
        raise ValueError(f"nothing of the part {part!r} is left to measure; name less")
    return cases


def _own(plan: Plan, part: str, selection: Selection) -> list[Case]:
    if part == "step":
        raise ValueError("--tokens is for losses; the part 'step' has sizes of its own")
    batches = dict.fromkeys(selection.tokens, selection.batch)
    cases = list(plan.at_sizes(part, batches, VARIANTS))
    if part in ("memory", "tensorflow"):
        peers = [name for name in FROM_QUERIES_KEYS[part] if name != ATTENTION]
        cases += plan.from_queries_keys(batches, VARIANTS, peers, part)
    return [
        replace(
            case, teacher_heads=selection.teacher_heads, student_heads=selection.student_heads,
            causal=selection.causal,
        )
        for case in cases
    ]  # fmt: skip


def _check_peers(part: str, names: Sequence[str]) -> None:
    known = (*PEERS[part], *MORE_PEERS.get(part, ()))
    for name in names:
        if name not in known:
            raise ValueError(
                f"--peer: the part {part!r} has no peer {name!r}; it has {', '.join(known)}"
            )


def _kept(case: Case, names: Sequence[str]) -> tuple[str, ...]:
    more = [name for name in MORE_PEERS.get(case.part, ()) if name in names]
    return tuple(name for name in (*case.peers, *more) if name in names)
