"""From the gradient of a block's rows to that of queries, keys, bias and sinks.

``dz = s∘(ds - <s, ds>)``, ``dq = dz k scale``, ``dk = dzᵀ q scale``, ``dbias = dz``,
``dsink = -s_sink <s, ds>``; behind a soft cap ``dz`` is multiplied by its derivative ``1 - tanh²``.
Guarded by tests/streaming/test_against_maps.py.
"""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from amad_torch.closed_form.workspace import Workspace
from amad_torch.streaming.blocks import Block
from amad_torch.streaming.inputs import Side
from amad_torch.streaming.queries_keys import part
from amad_torch.streaming.rows import Rows, vectors


class Gradients:
    """What has come together so far, in the dtype of all sums."""

    def __init__(self, side: Side, wanted: Collection[str]) -> None:
        """``wanted``: names of those tensors of ``side`` that get a gradient."""
        self._side, self.dtype = side, side.attended.queries.dtype
        self.of: Mapping[str, Tensor] = {
            name: torch.zeros_like(getattr(side.attended, name)) for name in wanted
        }

    def add(self, block: Block, rows: Rows, of_maps: Tensor, workspace: Workspace) -> None:
        """Add what follows from ``of_maps`` ``[b, H, q, k]``, which is used up."""
        attended = self._side.attended
        weighted = torch.mul(rows.maps, of_maps, out=workspace("weighted", *of_maps.shape))
        means = weighted.sum(dim=-1, keepdim=True)
        of_scores = weighted.addcmul_(rows.maps, means, value=-1)
        if rows.fixed is not None:
            of_scores.masked_fill_(rows.fixed, 0.0)
        if rows.sinking is not None and "sinks" in self.of:
            self.of["sinks"].sub_((rows.sinking * means).sum(dim=(0, 2, 3)))
        if "bias" in self.of:
            sums = part(self.of["bias"], *block)
            sums.add_(of_scores.sum_to_size(sums.shape))
        if rows.tanh is not None:
            of_scores.addcmul_(of_scores * rows.tanh, rows.tanh, value=-1)
        queries, keys = vectors(attended, block)
        flat = of_scores.view(*queries.shape[:2], keys.shape[1])
        if "queries" in self.of:
            found = torch.bmm(flat, keys).mul_(attended.factor)
            target = self.of["queries"][block.samples, :, block.queries]
            target.copy_(found.view(target.shape))
        if "keys" in self.of:
            target = self.of["keys"][block.samples, :, block.keys].flatten(0, 1)
            target.baddbmm_(flat.mT, queries, alpha=attended.factor)
