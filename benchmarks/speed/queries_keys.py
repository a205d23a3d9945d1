"""The loss from queries and keys, in PyTorch, beside what builds both models' maps."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from amad_torch import QueriesKeys, amad_loss_from_queries_and_keys
from amad_torch.streaming.queries_keys import attention_maps
from benchmarks.speed.cases import ATTENTION, BUILT, BUILT_PORT, OURS, Case
from benchmarks.speed.timing import Turn, first, interleaved
from benchmarks.speed.torch_losses import ours, port

SIZE = 64
"""Of a head."""

Pair = tuple[QueriesKeys, QueriesKeys]


def measured(case: Case, *, threads: int, **effort: Any) -> dict[str, Any]:
    """Seconds of each peer, and how far our gradients are from those of the maps."""
    torch.set_num_threads(threads)
    both = inputs_of(case)
    turns = {name: turn_of(name, case, both) for name in case.peers}
    gradients = first(turns)
    found: dict[str, Any] = {"seconds": interleaved(turns, **effort)}
    if {OURS, BUILT_PORT} <= set(turns):
        mine, port = (
            torch.cat([one.flatten() for one in gradients[name]]).double()
            for name in (OURS, BUILT_PORT)
        )
        found["errors"] = {OURS: float((mine - port).norm() / port.norm())}
    return found


def inputs_of(case: Case) -> Pair:
    """Teacher's and student's queries and keys, the latter's leaves."""
    torch.manual_seed(0)
    teacher, student = (
        QueriesKeys(
            queries=torch.randn(case.batch, heads, case.tokens, SIZE),
            keys=torch.randn(case.batch, heads, case.tokens, SIZE),
            causal=case.causal,
        )
        for heads in (case.teacher_heads, case.student_heads)
    )
    for leaf in (student.queries, student.keys):
        leaf.requires_grad_()
    return teacher, student


def turn_of(name: str, case: Case, both: Pair) -> Turn:
    """One forward and one backward pass of a peer, which gives the student's gradients."""
    losses: dict[str, Callable[[], Tensor]] = {
        OURS: partial(
            amad_loss_from_queries_and_keys, teacher=both[0], student=both[1], variant=case.variant
        ),
        BUILT: partial(_built, ours, both, case.variant),
        BUILT_PORT: partial(_built, port, both, case.variant),
        ATTENTION: partial(_attention, both),
    }
    if name not in losses:
        raise ValueError(f"no peer of the loss from queries and keys is called {name!r}")

    def step() -> list[Tensor]:
        losses[name]().backward()  # type: ignore[no-untyped-call]
        leaves = both[1].queries, both[1].keys
        found = [leaf.grad for leaf in leaves if leaf.grad is not None]
        for leaf in leaves:
            leaf.grad = None
        return found

    return step


def _built(loss: Callable[[Tensor, Tensor, str], Tensor], both: Pair, variant: str) -> Tensor:
    """A loss of maps, with the maps built first, the teacher's without a graph."""
    with torch.no_grad():
        teacher = attention_maps(both[0])
    return loss(teacher, attention_maps(both[1]), variant)


def _attention(both: Pair) -> Tensor:
    """Both models' attention itself, fused; keys stand for values; backward for the student."""
    with torch.no_grad():
        _fused(both[0])
    return _fused(both[1]).sum()


def _fused(one: QueriesKeys) -> Tensor:
    return scaled_dot_product_attention(one.queries, one.keys, one.keys, is_causal=one.causal)
