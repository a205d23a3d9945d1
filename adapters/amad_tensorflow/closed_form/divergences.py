"""``kl`` (eq. 9) and ``js``: sums over cells, whence the weights; the mixture, a sample at a time.

Cells are compared as ``κ`` times probabilities, ``κ`` one number a sample and at least 1, so that
only the student's heads are multiplied, in the mixture ``κ m_i = Σ_j κ a_ij s_j/|s_j|_1``:
``log(p/m) = log(t_i/κm_i) - log(|t_i|_1/κ)``. Between forward and backward nothing of the size of
maps is kept: mixtures are computed again. Guarded by tests/closed_form/test_tensorflow.py.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from amad_tensorflow.attention.inputs import Tensor, tiny
from amad_tensorflow.closed_form.cells import DIVERGENCES, CellDivergence, Cells
from amad_tensorflow.closed_form.gram import (
    Alignment,
    alignment,
    inverse,
    saturated,
    through_weights,
)
from amad_tensorflow.closed_form.heads import Heads, either
from amad_tensorflow.closed_form.options import Options, of_each_sample, times
from amad_tensorflow.closed_form.sums import Divisors, Sums, as_they_came, sums


class Kept(NamedTuple):
    """What the backward pass takes over, all of it small.

    Attributes:
        by_mixing: slopes times student cells, summed over cells, ``[B, Ht, Hs]``.
    """

    sums: Sums
    divisors: Divisors
    by_mixing: Tensor


class Comparison(NamedTuple):
    """How heads are compared: numbers in float64.

    Attributes:
        scale: ``κ``, at least 1 and as large as any ``|t_i|_1``, ``[B, 1, 1]``.
        target_size: what targets are divided by for probabilities, ``[B, Ht, 1]``.
        student_factor: ``1/|s_j|_1``, ``[B, 1, Hs]``.
        mixing: ``κ a_ij/|s_j|_1``, ``[B, Ht, Hs]``.
        target_scale: what the teacher's heads are multiplied by for targets, ``[B, Ht, 1]``;
            ``None``: nothing.
        ordinary: whether heads are as they came and no cell meets a floor.
    """

    aligned: Alignment
    scale: Tensor
    target_size: Tensor
    student_factor: Tensor
    mixing: Tensor
    target_scale: Tensor | None
    ordinary: Tensor


def forward(heads: Heads, options: Options) -> tuple[Tensor, Kept]:
    """One loss a sample ``[B]``."""
    dtype, divergence = heads.dtype, DIVERGENCES[options.variant]
    found, divisors = sums(heads, gram=False)
    compared = comparison(found, divisors, options)

    def way(ordinary: bool) -> Any:
        def of_heads(*given: Tensor) -> tuple[Tensor, Tensor]:
            _, student, cells = _cells(*given, floored=not ordinary, divergence=divergence)
            values, slopes = divergence.value_and_slope(cells)
            return values, tf.matmul(slopes, student, transpose_b=True)

        small = _small(divisors, compared, options, dtype)
        return heads.total(of_heads, small, (tf.reduce_sum, tf.reduce_sum))

    values, by_mixing = either(compared.ordinary, way)
    values = tf.cast(values, tf.float64) * inverse(compared.target_size)[..., 0]
    if divergence.homogeneous:  # of no head without mass a logarithm
        size = compared.target_size / compared.scale
        values -= tf.math.log(tf.where(size == 0, tf.ones_like(size), size))[..., 0]
    return of_each_sample(tf.cast(values, dtype)), Kept(found, divisors, by_mixing)


def backward(heads: Heads, options: Options, kept: Kept, upstream: Tensor) -> Any:
    """What comes from above, one number a sample ``[B]``, to the student's heads."""
    found, divisors, by_mixing = kept
    dtype, divergence = heads.dtype, DIVERGENCES[options.variant]
    compared = comparison(found, divisors, options)
    by_cell = divergence.factor * compared.scale * inverse(compared.target_size)
    by_weight = by_cell * tf.cast(by_mixing, tf.float64) * compared.student_factor
    by_weight = saturated(by_weight, share=0.25)  # of which differences are taken
    by_heads = through_weights(compared.aligned, by_weight)
    mean = tf.reduce_sum(compared.aligned.weights * by_weight, axis=-2)
    shift = -mean * compared.student_factor[:, 0]
    back = by_cell * compared.aligned.weights * compared.student_factor
    factors = [
        times(one, upstream, dtype)
        for one in (
            tf.linalg.matrix_transpose(back),
            by_heads.from_teacher,
            by_heads.from_student[..., tf.newaxis],
            shift[..., tf.newaxis],
        )
    ]

    def way(ordinary: bool) -> Any:
        def of_heads(teacher: Tensor, student: Tensor, *given: Tensor) -> Tensor:
            back, from_teacher, from_student, shift, *small = given
            teacher, student, cells = _cells(
                teacher, student, *small, divergence=divergence, floored=not ordinary
            )
            mixed = tf.matmul(back, divergence.value_and_slope(cells)[1])
            own = from_student * student + shift
            gradient = tf.add_n([mixed, tf.matmul(from_teacher, teacher), own])
            return gradient if ordinary else as_they_came(gradient, small[-1])

        small = _small(divisors, compared, options, dtype)
        return heads.gradient(of_heads, (*factors, *small))

    return either(compared.ordinary, way)


def comparison(found: Sums, divisors: Divisors, options: Options) -> Comparison:
    """From sums ``[B, ...]`` over cells."""
    aligned = alignment(*found.wide(), options.temperature)
    totals, others, least, least_other = (
        tf.cast(one, tf.float64)
        for one in (
            found.teacher_totals, found.student_totals, found.teacher_least, found.student_least,
        )
    )  # fmt: skip
    scale = tf.maximum(tf.reduce_max(totals, axis=-1), 1.0)[:, tf.newaxis, tf.newaxis]
    student_factor = inverse(others)[:, tf.newaxis]
    above = least_other * student_factor[:, 0] > 2 * tf.cast(options.eps, tf.float64)
    positive = least > 2 * tiny(found.products.dtype) * scale[:, 0]
    homogeneous = DIVERGENCES[options.variant].homogeneous
    return Comparison(
        aligned=aligned,
        scale=scale,
        target_size=totals[..., tf.newaxis] if homogeneous else scale,
        student_factor=student_factor,
        mixing=scale * aligned.weights * student_factor,
        target_scale=None if homogeneous else scale * inverse(totals)[..., tf.newaxis],
        ordinary=divisors.needless & tf.reduce_all(above) & tf.reduce_all(positive),
    )


def _small(
    divisors: Divisors, compared: Comparison, options: Options, dtype: tf.DType
) -> tuple[Tensor, ...]:
    """What :func:`_cells` takes of each sample besides heads."""
    scale = compared.target_scale
    floor = compared.scale * tf.cast(options.eps, tf.float64)
    small = (compared.mixing, floor, compared.scale if scale is None else scale)
    return *(tf.cast(one, dtype) for one in small), divisors.teacher, divisors.student


def _cells(
    teacher: Tensor, student: Tensor, mixing: Tensor, floor: Tensor, target_scale: Tensor,
    teacher_divisor: Tensor, student_divisor: Tensor, *, divergence: CellDivergence, floored: bool,
) -> tuple[Tensor, Tensor, Cells]:  # fmt: skip
    """Heads, divided by their divisors, and their cells as they are compared."""
    if floored:
        teacher, student = teacher / teacher_divisor, student / student_divisor
    target = teacher if divergence.homogeneous else teacher * target_scale
    mixture = tf.matmul(mixing, student)
    return teacher, student, Cells(target, mixture, floor if floored else None)
