"""Loss and gradient from maps: sums over cells, whence the weights, then what the cells need.

``mse`` follows from inner products of heads alone: no mixture of heads and no gradient of one ever
exists. The others need the mixture ``m_i = Σ_j a_ij s_j/|s_j|_1``, once. Guarded by
tests/closed_form/test_tensorflow.py.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from amad_tensorflow.attention.divergence import squared_distance as squared_distance_of_maps
from amad_tensorflow.attention.inputs import Tensor
from amad_tensorflow.attention.similarity import l2_normalise
from amad_tensorflow.closed_form.cells import DIVERGENCES
from amad_tensorflow.closed_form.gram import (
    Alignment,
    alignment,
    inverse,
    narrowed,
    saturated,
    squared_distance,
    through_weights,
)
from amad_tensorflow.closed_form.products import added_up
from amad_tensorflow.closed_form.sums import Sums, sums

NEAR = 1 / 64
"""Below this share of 1 a squared distance from Gram matrices has lost too many digits."""

MOST_HEADS = 2**10
"""A saturated gradient is finite for so many heads of both models together."""


class Options(NamedTuple):
    """What is fixed in one evaluation."""

    variant: str
    temperature: float
    eps: float


Backward = Callable[[Tensor], Tensor]
"""From what comes from above, one number a sample ``[B]``, to the student's ``[B, ..., Hs, n]``."""


def losses(teacher: Tensor, student: Tensor, options: Options) -> tuple[Tensor, Backward]:
    """Of heads ``[B, ..., H, n]``: one loss a sample ``[B]``, and its gradient."""
    found = sums(teacher, student, gram=options.variant == "mse")
    # Sums of the many cells of a map go on in float64; of rows there are too many for that.
    kind = found.student.dtype if options.variant == "token" else tf.float64
    products, teacher_squares, student_squares = (
        tf.cast(one, kind) for one in (found.products, found.teacher_squares, found.student_squares)
    )
    aligned = alignment(products, teacher_squares, student_squares, options.temperature)
    if options.variant == "mse":
        return _squared_distances(found, aligned)
    return _divergences(found, aligned, options)


def _squared_distances(found: Sums, aligned: Alignment) -> tuple[Tensor, Backward]:
    """``mse`` (eq. 4-6) from Gram matrices; from the maps themselves where those cancel."""
    dtype = found.student.dtype
    values, by_heads = squared_distance(aligned, tf.cast(found.gram, tf.float64))
    near = (values < NEAR) & (aligned.teacher_factor != 0)

    def of_maps() -> Tensor:
        units = [l2_normalise(heads) for heads in (found.teacher, found.student)]
        mixture = tf.matmul(tf.cast(aligned.weights, dtype), units[1])
        return squared_distance_of_maps(units[0], mixture, 0.0)

    values = tf.cond(tf.reduce_any(near), of_maps, lambda: tf.cast(tf.maximum(values, 0.0), dtype))

    def backward(upstream: Tensor) -> Tensor:
        from_teacher, from_student = (_times(one, upstream, dtype) for one in by_heads)
        gradient = added_up((from_teacher, found.teacher), (from_student, found.student))
        return _of_heads_as_they_came(gradient, found)

    return _of_samples(values), backward


def _divergences(found: Sums, aligned: Alignment, options: Options) -> tuple[Tensor, Backward]:
    """``kl``, ``js`` and ``token`` (eq. 9, 12): one mixture, whence values and slopes."""
    dtype, kind = found.student.dtype, aligned.weights.dtype
    totals = [tf.reduce_sum(heads, axis=-1) for heads in (found.teacher, found.student)]
    factors = [inverse(total) for total in totals]
    mixing = tf.cast(aligned.weights, dtype) * factors[1][..., tf.newaxis, :]
    target = found.teacher * factors[0][..., tf.newaxis]
    mixture = tf.matmul(mixing, found.student)
    divergence = DIVERGENCES[options.variant]
    values, slopes = divergence.value_and_slope(target, mixture, options.eps)

    def backward(upstream: Tensor) -> Tensor:
        by_weight = tf.matmul(slopes, found.student, transpose_b=True)
        by_weight = divergence.factor * by_weight * factors[1][..., tf.newaxis, :]
        by_weight = saturated(by_weight, share=0.25)  # of which differences are taken
        by_weight = tf.cast(by_weight, kind)
        by_heads = through_weights(aligned, by_weight)
        teacher_totals, student_factors = (tf.cast(one, kind) for one in (totals[0], factors[1]))
        from_teacher = by_heads.from_teacher * teacher_totals[..., tf.newaxis, :]
        shift = -tf.reduce_sum(aligned.weights * by_weight, axis=-2) * student_factors
        back, from_teacher, from_student, shift = (
            _times(one, upstream, dtype)
            for one in (
                divergence.factor * tf.cast(tf.linalg.matrix_transpose(mixing), kind),
                from_teacher,
                by_heads.from_student[..., tf.newaxis],
                shift[..., tf.newaxis],
            )
        )
        gradient = added_up(
            (back, slopes), (from_teacher, target), line=(from_student, found.student, shift)
        )
        return _of_heads_as_they_came(gradient, found)

    return _of_samples(values), backward


def _of_samples(values: Tensor) -> Tensor:
    return tf.reduce_sum(values, axis=list(range(1, values.shape.rank)))


def _times(values: Tensor, upstream: Tensor, dtype: tf.DType) -> Tensor:
    """Of each sample times what comes from above ``[B]``, in the dtype of cells."""
    share = tf.reshape(tf.cast(upstream, values.dtype), [-1] + [1] * (values.shape.rank - 1))
    return narrowed(values * share, dtype, MOST_HEADS)


def _of_heads_as_they_came(gradient: Tensor, found: Sums) -> Tensor:
    """By heads before they were divided, saturating."""
    divisor = found.student_divisor
    return tf.cond(
        tf.reduce_all(divisor == 1),
        lambda: gradient,
        lambda: saturated(saturated(gradient) / divisor),
    )
