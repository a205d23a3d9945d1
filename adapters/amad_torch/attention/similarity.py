"""Similarity: unit vectors, and the cosine between every teacher and every student head."""

from typing import Any

import torch
from torch import Tensor


def l2_normalise(heads: Tensor) -> Tensor:
    """``v / |v|_2`` along the last axis; 0 where the norm is 0 [D]."""
    scaled = heads / largest(heads)
    # Not vector_norm: on the CPU it adds up one after the other, 1e-4 off for a million cells.
    squares = scaled.square().sum(dim=-1, keepdim=True)
    # The square root has no derivative at 0; those heads are taken out in `_divide`.
    norm = squares.where(squares != 0, 1.0).sqrt()
    return _divide(scaled, norm, empty=squares == 0)


def l1_normalise(heads: Tensor) -> Tensor:
    """``v / |v|_1`` along the last axis, for non-negative ``v``; 0 where the norm is 0 [D]."""
    scaled = heads / largest(heads)
    norm = scaled.sum(dim=-1, keepdim=True)
    return _divide(scaled, norm, empty=norm == 0)


def cosine_similarity(teacher: Tensor, student: Tensor) -> Tensor:
    """``c_ij = <t_i, s_j> / (|t_i|_2 |s_j|_2)``, in [0, 1]; 0 where a norm is 0 [D].

    ``[..., Ht, n]`` and ``[..., Hs, n]`` to ``[..., Ht, Hs]``: the inner part of eq. 2.
    """
    return l2_normalise(teacher) @ l2_normalise(student).transpose(-1, -2)


def largest(heads: Tensor) -> Tensor:
    """The largest cell along the last axis, kept as an axis; 1 for a vector of zeros.

    Dividing by it first keeps the squares of huge and tiny maps within the range of a float; it
    changes no normalised vector, hence no gradient either, and is detached.
    """
    peak = heads.detach().amax(dim=-1, keepdim=True)
    return peak.where(peak != 0, 1.0)


def scaled_to_peak(heads: Tensor) -> Tensor:
    """``v / largest(v)``, done once before both normalisations; a gradient beyond it saturates.

    A gradient has the size of ``1/|v|``. Of a subnormal head it may overflow, and the parts that
    come through the two norms would give inf - inf; here their finite sum is divided, and what is
    too large for the dtype gives its largest number [D] (in a compiled graph, infinity).
    """
    if torch.compiler.is_compiling():  # which follows no function with a forward mode
        return heads / largest(heads)
    scaled: Tensor = _ScaledToPeak.apply(heads, largest(heads))  # type: ignore[no-untyped-call]
    return scaled


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
