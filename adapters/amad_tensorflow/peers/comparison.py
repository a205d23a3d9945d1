"""Comparison: what the heads of a pair are compared by, one value a sample.

Arrays are ``[B, H, ...]``; masked cells hold 0 on both sides, ``valid`` says which cells count.
"""

import tensorflow as tf

from amad_tensorflow.attention.divergence import kl_divergence
from amad_tensorflow.attention.inputs import Tensor, tiny
from amad_tensorflow.attention.similarity import l1_normalise, scaled_to_peak
from amad_tensorflow.peers.inputs import as_dtype


def mean_squared_error(teacher: Tensor, student: Tensor, valid: Tensor) -> Tensor:
    """``1/(H n) Σ_h Σ_qk (t - s)²`` over the ``n`` cells of the sample that count."""
    cells = tf.reduce_sum(tf.cast(valid, tf.int32), axis=[1, 2])
    squares = tf.reduce_sum(tf.square(teacher - student), axis=[1, 2, 3])
    return squares / as_dtype(cells * tf.shape(teacher)[1], student.dtype)


def mean_row_kl(teacher: Tensor, student: Tensor, valid: Tensor, eps: float | None) -> Tensor:
    """``1/(H r) Σ_h Σ_q KL(t_q/|t_q|_1 ‖ s_q/|s_q|_1)``; ``r`` rows have a cell that counts.

    Exact [D5]: ``0 log 0 = 0``, ``+inf`` where the teacher has mass and ``max(s, eps)`` is 0.
    """
    floor = tiny(student.dtype) if eps is None else float(eps)
    p, q = (l1_normalise(scaled_to_peak(rows)) for rows in (teacher, student))
    rows = kl_divergence(p, q, floor)
    return tf.reduce_sum(rows, axis=[1, 2]) / row_shares(teacher, valid)


def softmax_kl(teacher: Tensor, student: Tensor, valid: Tensor) -> Tensor:
    """``KL(softmax(t) ‖ softmax(s))`` along the last axis, over the entries that count."""
    log_p, log_q = masked_log_softmax(teacher, valid), masked_log_softmax(student, valid)
    return tf.reduce_sum(tf.exp(log_p) * (log_p - log_q), axis=-1)  # 0 - 0 where masked


def masked_log_softmax(scores: Tensor, valid: Tensor) -> Tensor:
    """``log softmax`` of the entries that count, along the last axis; 0 for those that do not."""
    # A row that counts nowhere keeps its scores: log_softmax of -inf alone is NaN, which would
    # reach nobody but would stop whoever looks for NaN.
    counted = valid | ~tf.reduce_any(valid, axis=-1, keepdims=True)
    least = tf.fill(tf.shape(scores), tf.cast(-float("inf"), scores.dtype))
    logarithms = tf.nn.log_softmax(tf.where(counted, scores, least), axis=-1)
    return tf.where(valid, logarithms, tf.zeros_like(logarithms))


def row_shares(heads: Tensor, valid: Tensor) -> Tensor:
    """``H r`` per sample, ``[B]``; 1 where nothing counts, so that the sample gives 0."""
    rows = tf.reduce_sum(tf.cast(tf.reduce_any(valid, axis=-1), tf.int32), axis=1)
    return as_dtype(rows * tf.shape(heads)[1], heads.dtype)
