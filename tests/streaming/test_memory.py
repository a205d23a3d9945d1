"""No attention map is ever built, and what no query of a block sees is not looked at."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from amad_torch import QueriesKeys, amad_loss_from_queries_and_keys
from amad_torch.closed_form import workspace
from amad_torch.streaming import kept

TOKENS, AT_ONCE = 96, 4
HEADS = {"teacher": 5, "student": 3}
LINE = 16
"""Cells of a line of the cache, which memory begins with."""


class Seen(TorchDispatchMode):
    """The cells of the largest memory, those of all products of queries and keys."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = self.scores = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        found = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(found):
            if isinstance(tensor, Tensor):
                self.largest = max(self.largest, tensor.untyped_storage().nbytes() // 4)
        if function is torch.ops.aten.baddbmm.out:
            self.scores += found.numel()
        return found


def run(variant: str, **given: Any) -> Seen:
    sides = {
        side: QueriesKeys(
            torch.randn(1, heads, TOKENS, 4).requires_grad_(side == "student"),
            torch.randn(1, heads, TOKENS, 4).requires_grad_(side == "student"),
            **given,
        )
        for side, heads in HEADS.items()
    }
    with Seen() as seen:
        amad_loss_from_queries_and_keys(
            **sides, variant=variant, queries_at_once=AT_ONCE
        ).backward()
    return seen


SWEEPS = {"mse": 2, "kl": 3, "token": 1, "js": 3}
"""Over the cells, gradient included."""


@pytest.fixture
def keep(monkeypatch: pytest.MonkeyPatch) -> Any:
    """To keep rows of so many blocks and no more."""

    def blocks(count: float) -> None:
        monkeypatch.setattr(workspace, "_kept", workspace._Kept())  # as in a new thread
        block = sum(HEADS.values()) * AT_ONCE * TOKENS * 4
        gradients = kept._GRADIENTS * 2 * HEADS["student"] * TOKENS * 4 * 4
        monkeypatch.setattr(kept, "_BYTES", int(count * block) + gradients)

    return blocks


@pytest.mark.parametrize("variant", SWEEPS)
def test_nothing_is_larger_than_a_block(variant: str, keep: Any) -> None:
    """Forward and backward; a map of one head alone has ``TOKENS**2`` cells."""
    keep(0)
    assert run(variant).largest <= sum(HEADS.values()) * AT_ONCE * TOKENS + LINE


@pytest.mark.parametrize("blocks", [0, 2, 5.2, 1000])
@pytest.mark.parametrize("variant", SWEEPS)
def test_rows_that_are_kept_are_not_computed_again(variant: str, blocks: float, keep: Any) -> None:
    """In memory that is given once: for all, or for as many as were allowed."""
    keep(blocks)
    seen, all_of_them = run(variant), TOKENS // AT_ONCE
    cells = sum(HEADS.values()) * TOKENS
    again = all_of_them - min(int(blocks), all_of_them)
    assert seen.scores == cells * AT_ONCE * (all_of_them + (SWEEPS[variant] - 1) * again)
    assert seen.largest <= max(blocks, 1) * cells * AT_ONCE + LINE


@pytest.mark.parametrize("variant", SWEEPS)
def test_whether_rows_are_kept_changes_nothing(variant: str, keep: Any) -> None:
    torch.manual_seed(0)
    mask = torch.rand(1, TOKENS, TOKENS) < 0.8
    given = [
        QueriesKeys(*torch.randn(2, 1, heads, TOKENS, 4).requires_grad_(), softcap=2.0)
        for heads in HEADS.values()
    ]
    found = []
    for blocks in (0, 3, 1000):
        keep(blocks)
        loss = amad_loss_from_queries_and_keys(
            teacher=given[0], student=given[1], variant=variant, mask=mask, queries_at_once=AT_ONCE
        )
        found.append((loss, *torch.autograd.grad(loss, (given[1].queries, given[1].keys))))
    for others in found[1:]:
        assert all(torch.equal(one, other) for one, other in zip(found[0], others, strict=True))


def test_nothing_larger_is_kept_for_the_backward_pass() -> None:
    packed: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        packed.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run("kl")
    assert max(packed) == HEADS["student"] * TOKENS * 4  # the queries and their gradient


@pytest.mark.parametrize(
    ("given", "share"),
    [
        ({"causal": True}, 0.55),
        ({"causal": True, "window": (9, 0)}, 0.15),
        ({"window": (3, 3)}, 0.15),
        ({"mask": torch.ones(1, 1, TOKENS, TOKENS, dtype=torch.bool).tril()}, 0.55),
        ({"mask": (torch.arange(TOKENS) < 30)[None, None, None]}, 0.32),
    ],
)
@pytest.mark.parametrize("variant", ["mse", "token"])
def test_keys_that_no_query_of_a_block_sees_are_left_out(
    variant: str, given: dict[str, Any], share: float
) -> None:
    assert run(variant, **given).scores <= share * run(variant).scores


def test_blocks_without_a_cell_that_counts_are_left_out() -> None:
    mask = torch.ones(1, TOKENS, TOKENS, dtype=torch.bool)
    whole = scores_with(mask)
    mask[:, TOKENS // 4 :] = False
    assert scores_with(mask) == whole // 4


def scores_with(mask: Tensor) -> int:
    given = [QueriesKeys(*torch.randn(2, 1, heads, TOKENS, 4)) for heads in HEADS.values()]
    with Seen() as seen:
        amad_loss_from_queries_and_keys(
            teacher=given[0], student=given[1], mask=mask, queries_at_once=AT_ONCE
        )
    return seen.scores
