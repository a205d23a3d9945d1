"""From inner products of heads to alignment weights and losses, and back to the student's heads.

Everything here is small, ``[..., Ht, Hs]`` and ``[..., Hs, Hs]``: what is as large as maps stays
with the caller. Raw heads ``t_i``, ``s_j``, hats for L2-normalised ones; an empty head has norm 0,
cosine 0 and gradient 0. Guarded by tests/closed_form/test_tensorflow.py.
"""

from typing import NamedTuple

import tensorflow as tf

from amad_tensorflow.attention.inputs import Tensor, tiny


class Alignment(NamedTuple):
    """How heads stand to each other.

    Attributes:
        cosines: ``c_ij``, ``[..., Ht, Hs]``.
        weights: ``a_ij``, a softmax of ``c_ij/τ`` over student heads.
        teacher_factor: ``1/|t_i|_2``, ``[..., Ht]``; 0 for an empty head.
        student_factor: ``1/|s_j|_2``, ``[..., Hs]``, likewise.
        divisor: τ, at least the smallest normal number.
    """

    cosines: Tensor
    weights: Tensor
    teacher_factor: Tensor
    student_factor: Tensor
    divisor: Tensor


class Gradient(NamedTuple):
    """``∂L/∂s_j = Σ_i from_teacher_ji t_i + Σ_m from_student_jm s_m``, of raw heads.

    ``[..., Hs, Ht]`` and ``[..., Hs, Hs]``; where only the diagonal of the second is not 0, that
    diagonal, ``[..., Hs]``.
    """

    from_teacher: Tensor
    from_student: Tensor


def alignment(
    products: Tensor,
    teacher_squares: Tensor,
    student_squares: Tensor,
    temperature: Tensor,
) -> Alignment:
    """Eq. 2, from ``<t_i, s_j>`` ``[..., Ht, Hs]`` and the squared L2 norms of all heads."""
    teacher_factor, student_factor = (
        inverse(tf.sqrt(teacher_squares)),
        inverse(tf.sqrt(student_squares)),
    )
    cosines = products * teacher_factor[..., tf.newaxis] * student_factor[..., tf.newaxis, :]
    # The largest cosine is taken off before the division, so that no τ, however small, overflows.
    best = tf.reduce_max(cosines, axis=-1, keepdims=True)
    divisor = tf.maximum(tf.cast(temperature, cosines.dtype), tiny(cosines.dtype))
    weights = tf.nn.softmax((cosines - best) / divisor)
    return Alignment(cosines, weights, teacher_factor, student_factor, divisor)


def squared_distance(aligned: Alignment, gram: Tensor) -> tuple[Tensor, Gradient]:
    """Eq. 4 and its gradient from ``gram``, ``<s_j, s_m>`` ``[..., Hs, Hs]``; losses ``[..., Ht]``.

    ``|t̂_i - Σ_j a_ij ŝ_j|² = |t̂_i|² - 2 Σ_j a_ij c_ij + Σ_jm a_ij a_im <ŝ_j, ŝ_m>``, so no mixture
    of heads is needed; its gradient by ``ŝ_j`` is
    ``Σ_i (∂L/∂c_ij - 2 a_ij) t̂_i + Σ_m 2 (aᵀa)_jm ŝ_m``. The difference loses the digits of a loss
    that is small against 1: its error is one of 1.
    """
    weights, factor = aligned.weights, aligned.student_factor
    unit_gram = gram * factor[..., tf.newaxis] * factor[..., tf.newaxis, :]
    mixed = tf.matmul(weights, unit_gram)
    own = tf.cast(aligned.teacher_factor != 0, weights.dtype)
    losses = own + tf.reduce_sum(weights * (mixed - 2 * aligned.cosines), axis=-1)
    by_cosine = through_softmax(aligned, 2 * (mixed - aligned.cosines))
    by_unit_teacher = tf.linalg.matrix_transpose(by_cosine - 2 * weights)
    by_unit_student = 2 * tf.matmul(weights, weights, transpose_a=True)
    along = tf.reduce_sum(by_unit_teacher * tf.linalg.matrix_transpose(aligned.cosines), axis=-1)
    along += tf.reduce_sum(by_unit_student * unit_gram, axis=-1)
    by_unit_student -= tf.linalg.diag(along)
    return losses, Gradient(
        by_unit_teacher * aligned.teacher_factor[..., tf.newaxis, :] * factor[..., tf.newaxis],
        by_unit_student * factor[..., tf.newaxis, :] * factor[..., tf.newaxis],
    )


def through_weights(aligned: Alignment, by_weight: Tensor) -> Gradient:
    """The part of a gradient that comes through the weights, from ``∂L/∂a_ij`` ``[..., Ht, Hs]``.

    ``∂L/∂ŝ_j = Σ_i ∂L/∂c_ij t̂_i`` less what lies along ``ŝ_j``, ``Σ_i ∂L/∂c_ij c_ij``, all over
    ``|s_j|_2``.
    """
    by_cosine = through_softmax(aligned, by_weight)
    along = tf.reduce_sum(by_cosine * aligned.cosines, axis=-2)
    factor = aligned.student_factor
    from_teacher = by_cosine * aligned.teacher_factor[..., tf.newaxis] * factor[..., tf.newaxis, :]
    return Gradient(tf.linalg.matrix_transpose(from_teacher), -along * tf.square(factor))


def through_softmax(aligned: Alignment, by_weight: Tensor) -> Tensor:
    """``∂L/∂c_ij = a_ij (∂L/∂a_ij - Σ_m a_im ∂L/∂a_im) / τ``, of the softmax of eq. 2."""
    weights = aligned.weights
    mean = tf.reduce_sum(weights * by_weight, axis=-1, keepdims=True)
    return saturated(weights * (by_weight - mean) / aligned.divisor, share=2.0**-12)


def inverse(norm: Tensor) -> Tensor:
    """``1/v``; 0 for 0."""
    return tf.math.divide_no_nan(tf.ones_like(norm), norm)


def saturated(values: Tensor, share: float = 1.0) -> Tensor:
    """At most a share of the largest number of the dtype, so that sums of them are finite."""
    most = values.dtype.max * share
    return tf.clip_by_value(values, -most, most)


def narrowed(factors: Tensor, dtype: tf.DType, terms: int) -> Tensor:
    """Factors of sums of so many cells of at most 1, in a dtype: saturating, so never infinite.

    A gradient through weights has the size of ``1/τ``, which may be as large as a float can be.
    """
    most = float(dtype.max) / max(terms, 1)
    return tf.cast(tf.clip_by_value(factors, -most, most), dtype)
