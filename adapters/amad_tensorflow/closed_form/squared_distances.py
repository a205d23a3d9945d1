"""``mse`` (eq. 4-6) and its gradient from the inner products of heads ``T Sᵀ`` and ``S Sᵀ``.

No mixture of heads and no gradient of one ever exists: the gradient of the student's heads is
``from_teacher T + from_student S``. Guarded by tests/closed_form/test_tensorflow.py.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from amad_tensorflow.attention.inputs import Tensor
from amad_tensorflow.closed_form.gram import Alignment, alignment, squared_distance
from amad_tensorflow.closed_form.heads import Heads, either
from amad_tensorflow.closed_form.options import Options, of_each_sample, times
from amad_tensorflow.closed_form.sums import Divisors, Sums, as_they_came, sums

NEAR = 1 / 64
"""Below this share of 1 a squared distance from Gram matrices has lost too many digits."""


class Kept(NamedTuple):
    """What the backward pass takes over, all of it small."""

    sums: Sums
    divisors: Divisors


def forward(heads: Heads, options: Options) -> tuple[Tensor, Kept]:
    """One loss a sample ``[B]``; from cells where sums cancel."""
    found, divisors = sums(heads, gram=True)
    aligned = _aligned(found, options)
    values, _ = squared_distance(aligned, tf.cast(found.among, tf.float64))
    near = (values < NEAR) & (aligned.teacher_factor != 0)

    def of_heads(teacher: Tensor, student: Tensor, *small: Tensor) -> Tensor:
        factor, mixing, *divisors = small
        mixture = tf.matmul(mixing, student / divisors[1])
        return tf.reduce_sum(tf.square(teacher / divisors[0] * factor - mixture), axis=-1)

    def of_cells() -> Tensor:
        mixing = aligned.weights * aligned.student_factor[..., tf.newaxis, :]
        small = [
            tf.cast(one, heads.dtype) for one in (aligned.teacher_factor[..., tf.newaxis], mixing)
        ]
        return heads.total(of_heads, (*small, *divisors[:2]), tf.reduce_sum)

    def of_sums() -> Tensor:
        return tf.cast(tf.maximum(values, 0.0), heads.dtype)

    return of_each_sample(tf.cond(tf.reduce_any(near), of_cells, of_sums)), Kept(found, divisors)


def backward(heads: Heads, options: Options, kept: Kept, upstream: Tensor) -> Any:
    """What comes from above, one number a sample ``[B]``, to the student's heads."""
    found, divisors = kept
    _, by_heads = squared_distance(_aligned(found, options), tf.cast(found.among, tf.float64))
    small = [times(one, upstream, heads.dtype) for one in by_heads]

    def way(ordinary: bool) -> Any:
        def of_heads(teacher: Tensor, student: Tensor, *small: Tensor) -> Tensor:
            from_teacher, from_student, *divisors = small
            if not ordinary:
                teacher, student = teacher / divisors[0], student / divisors[1]
            gradient = tf.matmul(from_teacher, teacher) + tf.matmul(from_student, student)
            return gradient if ordinary else as_they_came(gradient, divisors[1])

        return heads.gradient(of_heads, (*small, *divisors[:2]))

    return either(divisors.needless, way)


def _aligned(found: Sums, options: Options) -> Alignment:
    """Eq. 2, in float64."""
    return alignment(*found.wide(), options.temperature)
