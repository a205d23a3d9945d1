"""From the gradient of a block's rows to that of queries, keys, bias and sinks.

``dz = s∘(ds - <s, ds>)``, ``dq = dz k scale``, ``dk = dzᵀ q scale``, ``dbias = dz``,
``dsink = -s_sink <s, ds>``; behind a soft cap ``dz`` is multiplied by its derivative ``1 - tanh²``.
Guarded by tests/streaming/test_against_maps.py.
"""

from collections.abc import Collection

import torch
from torch import Tensor

from amad_torch.streaming.blocks import Block
from amad_torch.streaming.inputs import Side
from amad_torch.streaming.queries_keys import part
from amad_torch.streaming.rows import Rows, vectors


class Gradients:
    """What has come together so far, in the dtype of all sums."""

    def __init__(self, side: Side, wanted: Collection[str]) -> None:
        """``wanted``: names of those tensors of ``side`` that get a gradient.

        Sinks have one a sample ``[B, H]``, and keys theirs as products give it, ``[B, Hk, d, K]``.
        """
        attended = side.attended
        self._side, self.dtype = side, attended.queries.dtype
        self.of: dict[str, Tensor] = {}
        for name in wanted:
            given: Tensor = getattr(attended, name)
            shape = {
                "keys": attended.keys.mT.shape,
                "sinks": attended.shape[:2],
            }.get(name, given.shape)
            self.of[name] = given.new_zeros(shape)

    def put(self, name: str, found: Tensor) -> None:
        """A gradient that is there already."""
        self.of[name].copy_(found.mT if name == "keys" else found)

    def add(self, block: Block, rows: Rows, of_maps: Tensor) -> None:
        """Add what follows from ``of_maps`` ``[b, H, q, k]``, which is used up."""
        attended = self._side.attended
        if rows.sinking is not None and "sinks" in self.of:
            means = torch.linalg.vecdot(rows.maps, of_maps)
            self.of["sinks"][block.samples].sub_((rows.sinking[..., 0] * means).sum(dim=2))
        # What autograd has for a softmax: one pass over a row, where three functions take three.
        of_maps = of_maps.contiguous()
        of_scores: Tensor = torch.ops.aten._softmax_backward_data.out(
            of_maps, rows.maps, -1, of_maps.dtype, grad_input=of_maps
        )
        if rows.fixed is not None:
            of_scores.masked_fill_(rows.fixed, 0.0)
        if "bias" in self.of:
            sums = part(self.of["bias"], *block)
            sums.add_(of_scores.sum_to_size(sums.shape))
        if rows.tanh is not None:
            of_scores.addcmul_(of_scores * rows.tanh, rows.tanh, value=-1)
        queries, keys = vectors(attended, block)
        if not self._side.finite:  # where one counts, its row of scores is NaN already
            queries, keys = (torch.nan_to_num(one, 0.0, 0.0, 0.0) for one in (queries, keys))
        flat = of_scores.view(*queries.shape[:2], keys.shape[1])
        if "queries" in self.of:
            found = torch.bmm(flat, keys).mul_(attended.factor)
            target = self.of["queries"][block.samples, :, block.queries]
            target.copy_(found.view(target.shape))
        if "keys" in self.of:
            target = self.of["keys"][block.samples, :, :, block.keys].flatten(0, 1)
            target.baddbmm_(queries.mT, flat, alpha=attended.factor)


def by_sample(side: Side, wanted: Collection[str]) -> bool:
    """Whether each sample's gradient is found by itself: no bias is learned by several samples."""
    batch, bias = side.attended.shape[0], side.attended.bias
    return batch == 1 or bias is None or "bias" not in wanted or len(bias) == batch


def finished(name: str, found: Tensor, upstream: Tensor | None) -> Tensor:
    """A gradient as its tensor has it; times ``upstream`` ``[B]``, if that is not yet in it."""
    if upstream is not None:
        found = found * upstream.view(-1, *[1] * (found.dim() - 1))
    if name == "sinks":
        return found.sum(dim=0)
    return found.mT.contiguous() if name == "keys" else found
