"""No attention map is ever built, and what no query of a block sees is not looked at."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from amad_torch import QueriesKeys, amad_loss_from_queries_and_keys

TOKENS, AT_ONCE = 96, 4
HEADS = {"teacher": 5, "student": 3}


class Seen(TorchDispatchMode):
    """The cells of the largest tensor, and those of all products of queries and keys."""

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


@pytest.mark.parametrize("variant", ["mse", "kl", "token", "js"])
def test_nothing_is_larger_than_a_block(variant: str) -> None:
    """Forward and backward; a map of one head alone has ``TOKENS**2`` cells."""
    assert run(variant).largest <= max(HEADS.values()) * AT_ONCE * TOKENS


def test_nothing_larger_is_kept_for_the_backward_pass() -> None:
    kept: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run("kl")
    assert max(kept) == max(HEADS.values()) * TOKENS * 4  # the queries themselves


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
