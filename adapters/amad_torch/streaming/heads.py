"""Products of heads in a block: what is summed over cells, and what is mixed over heads.

Weights are ``[b, r, I, J]``: one matrix a sample (``r = 1``) or one a query row (``r = q``).
"""

import torch
from torch import Tensor

from amad_torch.closed_form.workspace import Workspace


def row_products(left: Tensor, right: Tensor) -> Tensor:
    """``Σ_k left_iqk right_jqk`` of every row, ``[b, q, I, J]``.

    One product a row, also where only their sum is wanted: long float32 sums in one matrix product
    lose digits (3e-6 over 10^5 cells), sums of rows do not. Fewer heads on the left cost a fifth
    less than more.
    """
    if right.shape[1] < left.shape[1]:
        return row_products(right, left).mT
    samples, heads, queries, _ = left.shape
    found = left.new_empty(samples, queries, heads, right.shape[1])
    for sample in range(samples):
        ours, others = left[sample].transpose(0, 1), right[sample].permute(1, 2, 0)
        torch.bmm(ours, others, out=found[sample])
    return found


def row_squares(heads: Tensor) -> Tensor:
    """``Σ_k heads_iqk²`` of every row, ``[b, q, I]``."""
    norms: Tensor = torch.linalg.vector_norm(heads, dim=-1)
    return norms.square_().transpose(1, 2)


def mixed(
    weights: Tensor,
    heads: Tensor,
    workspace: Workspace,
    name: str = "",
    *,
    onto: Tensor | None = None,
) -> Tensor:
    """``Σ_j weights_ij heads_j`` in every cell, ``[b, I, q, k]``; added to ``onto``, if given."""
    samples, _, queries, keys = heads.shape
    wanted = weights.shape[2]
    if weights.shape[1] == 1:
        shape = (samples, wanted, queries * keys)
        found = workspace(name, *shape) if onto is None else onto.view(shape)
        _product(weights[:, 0], heads.flatten(2), found, adds=onto is not None)
        return found.view(samples, wanted, queries, keys)
    if onto is None:
        onto, adds = workspace(name, samples, queries, wanted, keys).transpose(1, 2), False
    else:
        adds = True
    for ours, theirs, target in zip(weights, heads, onto, strict=True):
        _product(ours, theirs.transpose(0, 1), target.transpose(0, 1), adds=adds)
    return onto


def _product(left: Tensor, right: Tensor, out: Tensor, *, adds: bool) -> None:
    if adds:
        out.baddbmm_(left, right)
    else:
        torch.bmm(left, right, out=out)


def divided(heads: Tensor, sizes: Tensor, into: Tensor) -> Tensor:
    """``heads_i / sizes_i``, ``[b, I, q, k]`` and ``[b, I]``, in the memory of ``into``."""
    return torch.div(heads, sizes.to(heads.dtype)[..., None, None], out=into)
