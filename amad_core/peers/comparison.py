"""Comparison: what the heads of a pair are compared by, and the derivative by the student's.

Each is a pair of functions over arrays ``[B, H, ...]``: the value per sample, ``[B]``, and its
derivative. Masked cells hold 0 on both sides; ``valid`` says which cells count.
"""

import numpy as np
from scipy.special import rel_entr

from amad_core.attention.inputs import BoolArray, FloatArray
from amad_core.attention.similarity import (
    l1_normalise,
    saturating_divide,
    scaled_to_peak,
    scaled_to_peak_gradient,
)


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

    Exact [D5]: ``0 log 0 = 0``, ``+inf`` where the teacher has mass and ``max(s, eps)`` is 0.
    """
    p, q = (l1_normalise(scaled_to_peak(rows)) for rows in (teacher, student))
    rows = rel_entr(p, np.maximum(q, eps))
    return np.asarray(np.sum(rows, axis=(1, 2, 3)) / row_shares(teacher, valid))


def mean_row_kl_gradient(
    teacher: FloatArray, student: FloatArray, valid: BoolArray, eps: float
) -> FloatArray:
    """``(Σ p - p/q) / |s_q|_1`` over ``H r``: ``-p/q`` through the division of each row by its sum.

    ``p/q`` and ``p`` count only above the floor. Rows of zeros have gradient 0 [D4].
    """
    scaled = scaled_to_peak(student)
    p, q = l1_normalise(scaled_to_peak(teacher)), l1_normalise(scaled)
    counts = (p > 0) & (q > eps)
    upstream = np.where(counts, -saturating_divide(p, np.where(counts, q, 1.0)), 0.0)
    if eps == 0:
        upstream = np.where((p > 0) & (q == 0), -np.inf, upstream)
    along = -np.sum(p, axis=-1, keepdims=True, where=counts)
    total = np.maximum(np.sum(scaled, axis=-1, keepdims=True), 1.0)  # 0 of a row of zeros
    by_student = scaled_to_peak_gradient(student, (upstream - along) / total)
    return by_student / row_shares(teacher, valid)[:, np.newaxis, np.newaxis, np.newaxis]


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
