"""Similarity: unit vectors, and the cosine between every teacher and every student head.

Heads come ``scaled_to_peak``: their norms and products then neither overflow nor vanish, and the
formulas can be computed as they stand.
"""

from typing import Any

import torch
from torch import Tensor

from amad_torch.attention.precision import product
from amad_torch.attention.signatures import with_known_signature


def l2_normalise(heads: Tensor) -> Tensor:
    """``v / |v|_2`` along the last axis (eq. 2, 4); 0 where the norm is 0 [D4]."""
    # Not vector_norm: on the CPU it adds up one after the other, 1e-4 off for a million cells.
    squares = heads.square().sum(dim=-1, keepdim=True)
    # The square root has no derivative at 0; those heads are taken out in `_divide`.
    norm = squares.where(squares != 0, 1.0).sqrt()
    return _divide(heads, norm, empty=squares == 0)


def l1_normalise(heads: Tensor) -> Tensor:
    """``v / |v|_1`` of ``v >= 0`` along the last axis (eq. 9-12); 0 where the norm is 0 [D4]."""
    norm = heads.sum(dim=-1, keepdim=True)
    return _divide(heads, norm, empty=norm == 0)


def cosine_similarity(teacher: Tensor, student: Tensor) -> Tensor:
    """``c_ij = <t_i, s_j> / (|t_i|_2 |s_j|_2)``, in [0, 1]; 0 where a norm is 0 [D4].

    ``[..., Ht, n]`` and ``[..., Hs, n]`` to ``[..., Ht, Hs]``: the inner part of eq. 2.
    """
    return product(l2_normalise(teacher), l2_normalise(student).mT)


def largest(heads: Tensor) -> Tensor:
    """The largest cell along the last axis, kept as an axis; 1 for a vector of zeros."""
    # Detached: it changes no normalised vector, hence no gradient either.
    peak = heads.detach().amax(dim=-1, keepdim=True)
    return peak.where(peak != 0, 1.0)


def scaled_to_peak(heads: Tensor) -> Tensor:
    """``v / largest(v)``, done once before all normalisations, none of which it changes.

    So the gradient, of the size of ``1/|v|``, is divided once, for the sum of what came through all
    normalisations. What is too large for the dtype gives its largest number [D10]; in a compiled
    graph, infinity.
    """
    if torch.compiler.is_compiling():  # which follows no function with a forward mode
        return heads / largest(heads)
    scaled: Tensor = _ScaledToPeak.apply(heads, largest(heads))  # type: ignore[no-untyped-call]
    return scaled


@with_known_signature
class _ScaledToPeak(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(heads: Tensor, peak: Tensor) -> Tensor:
        return heads / peak

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])
        ctx.save_for_forward(inputs[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (peak,) = ctx.saved_tensors
        most = torch.finfo(gradient.dtype).max
        return (gradient / peak).clamp(-most, most), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        peak: Tensor = ctx.saved_tensors[0]
        return tangent / peak


def _divide(heads: Tensor, norm: Tensor, empty: Tensor) -> Tensor:
    # The inner `where` keeps the derivative of 0/0 from reaching the outer one as NaN.
    return (heads / norm.where(~empty, 1.0)).where(~empty, 0.0)
