"""Comparison: what the heads of a pair are compared by, one value a sample.

Arrays are ``[B, H, ...]``; masked cells hold 0 on both sides, ``valid`` says which cells count.
"""

import torch
from torch import Tensor

from amad_torch.attention.divergence import kl_divergence
from amad_torch.attention.similarity import l1_normalise, scaled_to_peak


def mean_squared_error(teacher: Tensor, student: Tensor, valid: Tensor) -> Tensor:
    """``1/(H n) Σ_h Σ_qk (t - s)²`` over the ``n`` cells of the sample that count."""
    shares = (valid.sum(dim=(1, 2)) * teacher.shape[1]).clamp(min=1)
    return (teacher - student).square().sum(dim=(1, 2, 3)) / shares


def mean_row_kl(teacher: Tensor, student: Tensor, valid: Tensor, eps: float | None) -> Tensor:
    """``1/(H r) Σ_h Σ_q KL(t_q/|t_q|_1 ‖ s_q/|s_q|_1)``; ``r`` rows have a cell that counts.

    Exact [D5]: ``0 log 0 = 0``, ``+inf`` where the teacher has mass and ``max(s, eps)`` is 0.
    """
    floor = torch.finfo(student.dtype).tiny if eps is None else float(eps)
    p, q = (l1_normalise(scaled_to_peak(rows)) for rows in (teacher, student))
    rows = kl_divergence(p, q, floor)
    return rows.sum(dim=(1, 2)) / row_shares(teacher, valid)


def softmax_kl(teacher: Tensor, student: Tensor, valid: Tensor) -> Tensor:
    """``KL(softmax(t) ‖ softmax(s))`` along the last axis, over the entries that count."""
    log_p, log_q = masked_log_softmax(teacher, valid), masked_log_softmax(student, valid)
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)  # 0 - 0 where masked


def masked_log_softmax(scores: Tensor, valid: Tensor) -> Tensor:
    """``log softmax`` of the entries that count, along the last axis; 0 for those that do not."""
    # A row that counts nowhere keeps its scores: log_softmax of -inf alone is NaN, which would
    # reach nobody but would stop whoever looks for NaN.
    counted = valid | ~valid.any(dim=-1, keepdim=True)
    return scores.where(counted, -torch.inf).log_softmax(dim=-1).where(valid, 0.0)


def row_shares(heads: Tensor, valid: Tensor) -> Tensor:
    """``H r`` per sample, ``[B]``; 1 where nothing counts, so that the sample gives 0."""
    return (valid.any(dim=-1).sum(dim=1) * heads.shape[1]).clamp(min=1)
