"""From inner products of heads to alignment weights and losses, and back to the student's heads.

Everything here is small, ``[..., Ht, Hs]`` and ``[..., Hs, Hs]``: what is as large as maps stays
with the caller. Raw heads ``t_i``, ``s_j``, hats for L2-normalised ones; an empty head has norm 0,
cosine 0 and gradient 0. Guarded by tests/closed_form/test_gram.py.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Alignment(NamedTuple):
    """How heads stand to each other.

    Attributes:
        cosines: ``c_ij``, ``[..., Ht, Hs]``.
        weights: ``a_ij``, a softmax of ``c_ij/τ`` over student heads.
        teacher_factor: ``1/|t_i|_2``, ``[..., Ht]``; 0 for an empty head.
        student_factor: ``1/|s_j|_2``, ``[..., Hs]``, likewise.
        temperature: τ.
    """

    cosines: Tensor
    weights: Tensor
    teacher_factor: Tensor
    student_factor: Tensor
    temperature: float


class Gradient(NamedTuple):
    """``∂L/∂s_j = Σ_i from_teacher_ji t_i + Σ_m from_student_jm s_m``, of raw heads.

    ``[..., Hs, Ht]`` and ``[..., Hs, Hs]``; where only the diagonal of the second is not 0, that
    diagonal, ``[..., Hs]``.
    """

    from_teacher: Tensor
    from_student: Tensor


def alignment(
    products: Tensor, teacher_squares: Tensor, student_squares: Tensor, temperature: float
) -> Alignment:
    """Eq. 2, from ``<t_i, s_j>`` ``[..., Ht, Hs]`` and the squared L2 norms of all heads."""
    teacher_factor, student_factor = map(inverse_root, (teacher_squares, student_squares))
    cosines = products * teacher_factor.unsqueeze(-1) * student_factor.unsqueeze(-2)
    # The largest cosine is taken off before the division, so that no τ, however small, overflows;
    # one that is not small gives no exponential beyond e^64, as a cosine is at most 1.
    largest = cosines.amax(dim=-1, keepdim=True) if temperature < 1 / 64 else 0.0
    # Not `softmax`, which takes five times as long for so few students and so many rows.
    weights = (cosines - largest).div_(_divisor(cosines, temperature)).exp_()
    weights = weights.div_(weights.sum(dim=-1, keepdim=True))
    return Alignment(cosines, weights, teacher_factor, student_factor, temperature)


def squared_distance(aligned: Alignment, gram: Tensor) -> tuple[Tensor, Gradient]:
    """Eq. 4 and its gradient from ``gram``, ``<s_j, s_m>`` ``[..., Hs, Hs]``; losses ``[..., Ht]``.

    ``|t̂_i - Σ_j a_ij ŝ_j|² = |t̂_i|² - 2 Σ_j a_ij c_ij + Σ_jm a_ij a_im <ŝ_j, ŝ_m>``, so no mixture
    of heads is needed; its gradient by ``ŝ_j`` is
    ``Σ_i (∂L/∂c_ij - 2 a_ij) t̂_i + Σ_m 2 (aᵀa)_jm ŝ_m``. The difference loses the digits of a loss
    that is small against 1: its error is one of 1.
    """
    weights, factor = aligned.weights, aligned.student_factor
    factors = factor.unsqueeze(-1) * factor.unsqueeze(-2)
    unit_gram = gram * factors
    beyond = weights @ unit_gram - aligned.cosines
    own = aligned.teacher_factor.sign()  # 1, or 0 of an empty head
    losses = (weights * (beyond - aligned.cosines)).sum(dim=-1).add_(own)
    twice = 2 * weights
    from_teacher = (through_softmax(aligned, 2 * beyond) - twice).mT
    from_student = twice.mT @ weights
    along = (from_teacher * aligned.cosines.mT).sum(-1) + (from_student * unit_gram).sum(-1)
    from_student.diagonal(dim1=-2, dim2=-1).sub_(along)
    return losses, Gradient(
        from_teacher * aligned.teacher_factor.unsqueeze(-2) * factor.unsqueeze(-1),
        from_student * factors,
    )


def through_weights(aligned: Alignment, by_weight: Tensor) -> Gradient:
    """The part of a gradient that comes through the weights, from ``∂L/∂a_ij`` ``[..., Ht, Hs]``.

    ``∂L/∂ŝ_j = Σ_i ∂L/∂c_ij t̂_i`` less what lies along ``ŝ_j``, ``Σ_i ∂L/∂c_ij c_ij``, all over
    ``|s_j|_2``.
    """
    by_cosine = through_softmax(aligned, by_weight)
    along = (by_cosine * aligned.cosines).sum(dim=-2)
    factor = aligned.student_factor
    from_teacher = by_cosine.mT * aligned.teacher_factor.unsqueeze(-2) * factor.unsqueeze(-1)
    return Gradient(from_teacher, -along * factor.square())


def through_softmax(aligned: Alignment, by_weight: Tensor) -> Tensor:
    """``∂L/∂c_ij = a_ij (∂L/∂a_ij - Σ_m a_im ∂L/∂a_im) / τ``, of the softmax of eq. 2."""
    weights = aligned.weights
    mean = (weights * by_weight).sum(dim=-1, keepdim=True)
    return (by_weight - mean).mul_(weights).div_(_divisor(weights, aligned.temperature))


def inverse(norm: Tensor) -> Tensor:
    """``1/v``; 0 for 0."""
    return norm.reciprocal().masked_fill(norm == 0, 0.0)


def inverse_root(square: Tensor) -> Tensor:
    """``1/sqrt(v)``; 0 for 0."""
    return square.rsqrt().masked_fill(square == 0, 0.0)


def narrowed(factors: Tensor, dtype: torch.dtype, terms: int) -> Tensor:
    """Factors of sums of so many cells of at most 1, in a dtype: saturating, so never infinite.

    A gradient through weights has the size of ``1/τ``, which may be as large as a float can be.
    """
    most = torch.finfo(dtype).max / max(terms, 1)
    return factors.clamp(-most, most).to(dtype)


def _divisor(values: Tensor, temperature: float) -> float:
    return max(temperature, torch.finfo(values.dtype).tiny)
