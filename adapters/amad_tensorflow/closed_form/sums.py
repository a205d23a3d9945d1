"""The sums over cells that the weights of eq. 2 follow from, where none over- or underflows.

Guarded by tests/closed_form/test_tensorflow.py.
"""

from typing import NamedTuple

import tensorflow as tf

from amad_tensorflow.attention.inputs import Tensor, tiny
from amad_tensorflow.attention.similarity import largest


class Sums(NamedTuple):
    """Heads ``[..., H, n]``, what they were divided by ``[..., H, 1]``, and sums of their cells.

    Attributes:
        products: ``<t_i, s_j>``, ``[..., Ht, Hs]``.
        gram: ``<s_j, s_m>``, ``[..., Hs, Hs]``; 0 where it was not asked for.
        teacher_squares, student_squares: ``|t_i|_2²`` and ``|s_j|_2²``, ``[..., H]``.
    """

    teacher: Tensor
    student: Tensor
    teacher_divisor: Tensor
    student_divisor: Tensor
    products: Tensor
    gram: Tensor
    teacher_squares: Tensor
    student_squares: Tensor


def sums(teacher: Tensor, student: Tensor, *, gram: bool) -> Sums:
    """Of heads as they came; where a norm is too small or too large, all over their peaks."""
    one = tf.ones([], student.dtype)
    divisors = [tf.ones_like(heads[..., :1]) for heads in (teacher, student)]
    found = _sums(teacher, student, divisors, gram=gram)
    squares = found.teacher_squares, found.student_squares

    def all_but_empty_heads() -> Tensor:
        peaks = (tf.reduce_max(heads, axis=-1) for heads in (teacher, student))
        return _in_range(*(tf.where(p == 0, one, s) for p, s in zip(peaks, squares, strict=True)))

    def scaled() -> Sums:
        peaks = [largest(teacher), largest(student)]
        return _sums(teacher / peaks[0], student / peaks[1], peaks, gram=gram)

    safe = tf.cond(_in_range(*squares), lambda: tf.constant(True), all_but_empty_heads)
    chosen: Sums = tf.cond(safe, lambda: found, scaled)
    return chosen


def _sums(teacher: Tensor, student: Tensor, divisors: list[Tensor], *, gram: bool) -> Sums:
    if gram:
        among = tf.matmul(student, student, transpose_b=True)
        student_squares = tf.linalg.diag_part(among)
    else:
        among = tf.zeros([], student.dtype)
        student_squares = _squares(student)
    return Sums(
        teacher=teacher,
        student=student,
        teacher_divisor=divisors[0],
        student_divisor=divisors[1],
        products=tf.matmul(teacher, student, transpose_b=True),
        gram=among,
        teacher_squares=_squares(teacher),
        student_squares=student_squares,
    )


def _squares(heads: Tensor) -> Tensor:
    # ``reduce_euclidean_norm`` would be one pass less, but XLA has none.
    return tf.reduce_sum(tf.square(heads), axis=-1)


def _in_range(*squares: Tensor) -> Tensor:
    """Whether no product of two cells that matter over- or underflows; not where one is NaN."""
    dtype = squares[0].dtype
    least, most = tiny(dtype) ** (1 / 3), float(dtype.max) ** (1 / 3)
    return tf.reduce_all([tf.reduce_all((one > least) & (one < most)) for one in squares])
