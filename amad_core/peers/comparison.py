"""Comparison: what the heads of a pair are compared by, and the derivative by the student's.

Each is a pair of functions over arrays ``[B, H, ...]``: the value per sample, ``[B]``, and its
derivative. Masked cells hold 0 on both sides; ``valid`` says which cells count.
"""

import numpy as np
from scipy.special import rel_entr

from amad_core.attention.inputs import BoolArray, FloatArray
from amad_core.attention.similarity import l1_normalise, largest, saturating_divide


def mean_squared_error(teacher: FloatArray, student: FloatArray, valid: BoolArray) -> FloatArray:
    """``1/(H n) Σ_h Σ_qk (t - s)²`` over the ``n`` cells of the sample that count."""
    return np.asarray(np.sum((teacher - student) ** 2, axis=(1, 2, 3)) / _shares(teacher, valid))


def mean_squared_error_gradient(
    teacher: FloatArray, student: FloatArray, valid: BoolArray
) -> FloatArray:
    """``-2 (t - s) / (H n)``."""
    shares = _shares(teacher, valid)[:, np.newaxis, np.newaxis, np.newaxis]
    return np.asarray(-2.0 * (teacher - student) / shares)


def mean_row_kl(
    teacher: FloatArray, student: FloatArray, valid: BoolArray, eps: float
) -> FloatArray:
    """``1/(H r) Σ_h Σ_q KL(t_q/|t_q|_1 ‖ s_q/|s_q|_1)``; ``r`` rows have a cell that counts.

    Exact [D]: ``0 log 0 = 0``, ``+inf`` where the teacher has mass and ``max(s, eps)`` is 0.
    """
    rows = rel_entr(l1_normalise(teacher), np.maximum(l1_normalise(student), eps))
    return np.asarray(np.sum(rows, axis=(1, 2, 3)) / row_shares(teacher, valid))


def mean_row_kl_gradient(
    teacher: FloatArray, student: FloatArray, valid: BoolArray, eps: float
) -> FloatArray:
    """``(Σ p - p/q) / |s_q|_1`` over ``H r``: ``-p/q`` through the division of each row by its sum.

    ``p/q`` and ``p`` count only above the floor. Rows of zeros have gradient 0 [D].
    """
    p, q = l1_normalise(teacher), l1_normalise(student)
    counts = (p > 0) & (q > eps)
    upstream = np.where(counts, -saturating_divide(p, np.where(counts, q, 1.0)), 0.0)
    if eps == 0:
        upstream = np.where((p > 0) & (q == 0), -np.inf, upstream)
    along = -np.sum(p, axis=-1, keepdims=True, where=counts)
    peak = largest(student)
    total = np.sum(student / peak, axis=-1, keepdims=True)
    empty = total == 0
    by_scaled = (upstream - along) / np.where(empty, 1.0, total)
    shares = row_shares(teacher, valid)[:, np.newaxis, np.newaxis, np.newaxis]
    return np.where(empty, 0.0, saturating_divide(by_scaled, peak) / shares)


def softmax_kl(teacher: FloatArray, student: FloatArray, valid: BoolArray) -> FloatArray:
    """``KL(softmax(t) ‖ softmax(s))`` along the last axis, over the entries that count."""
    log_p, log_q = masked_log_softmax(teacher, valid), masked_log_softmax(student, valid)
    return np.asarray(np.sum(np.exp(log_p) * (log_p - log_q), axis=-1))  # 0 - 0 where masked


def softmax_kl_gradient(teacher: FloatArray, student: FloatArray, valid: BoolArray) -> FloatArray:
    """``softmax(s) - softmax(t)``; 0 where masked."""
    p, q = np.exp(masked_log_softmax(teacher, valid)), np.exp(masked_log_softmax(student, valid))
    return np.where(valid, q - p, 0.0)


def masked_log_softmax(scores: FloatArray, valid: BoolArray) -> FloatArray:
    """``log softmax`` of the entries that count, along the last axis; 0 for those that do not."""
    valid = np.broadcast_to(valid, scores.shape)
    largest = np.max(scores, axis=-1, keepdims=True, where=valid, initial=-np.inf)
    shifted = np.where(valid, scores - np.where(np.isfinite(largest), largest, 0.0), 0.0)
    total = np.sum(np.exp(shifted), axis=-1, keepdims=True, where=valid)
    return np.where(valid, shifted - np.log(np.where(total > 0, total, 1.0)), 0.0)


def row_shares(heads: FloatArray, valid: BoolArray) -> FloatArray:
    """``H r`` per sample, ``[B]``; 1 where nothing counts, so that the sample gives 0."""
    rows = np.sum(np.any(valid, axis=-1), axis=1)
    return np.asarray(np.maximum(heads.shape[1] * rows, 1), dtype=np.float64)


def _shares(heads: FloatArray, valid: BoolArray) -> FloatArray:
    cells = np.sum(valid, axis=(1, 2))
    return np.asarray(np.maximum(heads.shape[1] * cells, 1), dtype=np.float64)
