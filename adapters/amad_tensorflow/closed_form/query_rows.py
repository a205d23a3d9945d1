"""``token`` (eq. 12): every query row by itself, some rows of a sample at a time.

A row's weights follow from the products of its own cells, so that nothing is kept between forward
and backward; but for small maps in a graph, whose gradient by an upstream of 1 is made at once,
while all that both need is there (a graph without it leaves it out). Cells are compared as in
``divergences``, ``κ`` being one number for all of these.
Guarded by tests/closed_form/test_tensorflow.py and tests/adapters/test_tensorflow_graph.py.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from amad_tensorflow.attention.inputs import Tensor, tiny
from amad_tensorflow.closed_form.cells import DIVERGENCES, Cells
from amad_tensorflow.closed_form.gram import (
    Alignment,
    alignment,
    inverse,
    narrowed,
    saturated,
    through_weights,
)
from amad_tensorflow.closed_form.heads import Heads, MapHeads
from amad_tensorflow.closed_form.options import MOST_HEADS, Options
from amad_tensorflow.closed_form.sums import Sums, as_they_came, in_range, sums_of_heads


class Compared(NamedTuple):
    """Rows ``[..., Q, H, K]``, and how they are compared.

    Attributes:
        divisor: what the student's were divided by, ``[..., Q, Hs, 1]``; ``None``: nothing.
        scale: ``κ``, at least 1 and as large as any ``|t_i|_1``, ``[..., 1, 1, 1]``.
        totals: ``|t_i|_1``, ``[..., Q, Ht, 1]``.
        student_factor: ``1/|s_j|_1``, ``[..., Q, 1, Hs]``.
    """

    teacher: Tensor
    student: Tensor
    divisor: Tensor | None
    aligned: Alignment
    scale: Tensor
    totals: Tensor
    student_factor: Tensor
    cells: Cells


def forward(heads: Heads, options: Options) -> tuple[Tensor, tuple[Tensor, ...]]:
    """One loss a sample ``[B]``; of small maps in a graph also what its gradient is for 1."""

    def values(found: Compared) -> Tensor:
        values, _ = DIVERGENCES[options.variant].value_and_slope(found.cells)
        size = (found.totals / found.scale)[..., 0]
        logarithm = tf.math.log(tf.where(size == 0, tf.ones_like(size), size))
        return tf.reduce_sum(values * inverse(found.totals)[..., 0] - logarithm, axis=[-2, -1])

    def of_maps(teacher: Tensor, student: Tensor) -> Tensor:
        return _of_compared(values, teacher, student, options)

    def both_of_maps(teacher: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
        def both(found: Compared) -> tuple[Tensor, Tensor]:
            return values(found), _gradient(found, tf.ones([], heads.dtype), options)

        compared: tuple[Tensor, Tensor] = _of_compared(both, teacher, student, options)
        return compared

    if options.at_once and options.in_graph:
        loss, gradient = heads.total(both_of_maps, (), (tf.reduce_sum, tf.reduce_sum))
        return loss, (gradient,)
    return heads.total(of_maps, (), tf.reduce_sum), ()


def backward(heads: Heads, options: Options, kept: tuple[Tensor, ...], upstream: Tensor) -> Any:
    """What comes from above, one number a sample ``[B]``, to the student's heads."""
    share = upstream[:, tf.newaxis, tf.newaxis, tf.newaxis]
    if kept:
        return saturated(kept[0] * share)

    def of_maps(teacher: Tensor, student: Tensor, share: Tensor) -> Tensor:
        return _of_compared(
            lambda found: _gradient(found, share, options), teacher, student, options
        )

    return heads.gradient(of_maps, (share,))


def _gradient(found: Compared, share: Tensor, options: Options) -> Tensor:
    """``share`` times the derivative by the student's maps."""
    dtype, divergence = found.student.dtype, DIVERGENCES[options.variant]
    _, slopes = divergence.value_and_slope(found.cells)
    by_cell = divergence.factor * found.scale * inverse(found.totals)
    by_weight = tf.matmul(slopes, found.student, transpose_b=True)
    by_weight = saturated(by_cell * by_weight * found.student_factor, share=0.25)
    by_heads = through_weights(found.aligned, by_weight)
    mean = tf.reduce_sum(found.aligned.weights * by_weight, axis=-2)
    back, from_teacher, from_student, shift = (
        narrowed(one * share, dtype, MOST_HEADS)
        for one in (
            tf.linalg.matrix_transpose(by_cell * found.aligned.weights * found.student_factor),
            by_heads.from_teacher,
            by_heads.from_student[..., tf.newaxis],
            (-mean * found.student_factor[..., 0, :])[..., tf.newaxis],
        )
    )
    products = tf.matmul(back, slopes), tf.matmul(from_teacher, found.teacher)
    gradient = tf.add_n([*products, from_student * found.student + shift])
    if found.divisor is not None:
        gradient = as_they_came(gradient, found.divisor)
    return rows_and_heads(gradient)


def _of_compared(
    function: Callable[[Compared], Any], teacher: Tensor, student: Tensor, options: Options
) -> Any:
    """Of maps ``[..., H, Q, K]``; where a norm is too small or too large, rows over their peaks."""
    teacher, student = rows_and_heads(teacher), rows_and_heads(student)
    found = sums_of_heads(teacher, student, gram=False)
    peaks = MapHeads(teacher, student, at_once=True).peaks
    safe = in_range(found.teacher_squares, found.among, peaks)

    def any_rows() -> Any:
        by = [tf.where(safe | (peak == 0), tf.ones_like(peak), peak) for peak in peaks()]
        heads = teacher / by[0], student / by[1]
        again = sums_of_heads(*heads, gram=False)
        return function(_compared(*heads, by[1], again, options))

    def ordinary_rows() -> Any:
        return function(_compared(teacher, student, None, found, options))

    ordinary = safe & _is_dense(found, options)
    return tf.cond(ordinary, ordinary_rows, any_rows)


def _is_dense(found: Sums, options: Options) -> Tensor:
    """Whether no cell meets a floor."""
    dtype = found.products.dtype
    above = found.student_least > 2 * tf.cast(options.eps, dtype) * found.student_totals
    positive = found.teacher_least > 2 * tiny(dtype) * _scale(found)[..., 0]
    return tf.reduce_all(above) & tf.reduce_all(positive)


def _scale(found: Sums) -> Tensor:
    most = tf.reduce_max(found.teacher_totals, axis=[-2, -1], keepdims=True)
    return tf.maximum(most, 1.0)[..., tf.newaxis]


def _compared(
    teacher: Tensor, student: Tensor, divisor: Tensor | None, found: Sums, options: Options
) -> Compared:
    squares = found.teacher_squares, found.among
    aligned = alignment(found.products, *squares, options.temperature)
    scale, student_factor = _scale(found), inverse(found.student_totals)[..., tf.newaxis, :]
    mixture = tf.matmul(scale * aligned.weights * student_factor, student)
    floor = None if divisor is None else scale * tf.cast(options.eps, student.dtype)
    return Compared(
        teacher=teacher,
        student=student,
        divisor=divisor,
        aligned=aligned,
        scale=scale,
        totals=found.teacher_totals[..., tf.newaxis],
        student_factor=student_factor,
        cells=Cells(teacher, mixture, floor),
    )


def rows_and_heads(maps: Tensor) -> Tensor:
    """``[..., H, Q, K]`` to ``[..., Q, H, K]``, and back."""
    return tf.transpose(maps, [1, 0, 2] if maps.shape.rank == 3 else [0, 2, 1, 3])
