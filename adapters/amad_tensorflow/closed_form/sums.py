"""The sums over cells that the weights of eq. 2 follow from, where none over- or underflows.

Guarded by tests/closed_form/test_tensorflow.py.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import tensorflow as tf

from amad_tensorflow.attention.inputs import Tensor, tiny
from amad_tensorflow.closed_form.gram import saturated
from amad_tensorflow.closed_form.heads import Heads

LONG = 2**20
"""Cells of the longest sum of products in float32: TensorFlow adds them one after the other."""


class Sums(NamedTuple):
    """Sums over the cells of heads ``[..., H, n]`` divided by their divisors.

    Attributes:
        products: ``<t_i, s_j>``, ``[..., Ht, Hs]``.
        among: ``<s_j, s_m>``, ``[..., Hs, Hs]``; but for ``mse`` its diagonal, ``[..., Hs]``.
        teacher_squares: ``|t_i|_2²``, ``[..., Ht]``.
        teacher_totals, student_totals: ``|·|_1``, ``[..., H]``; for ``mse``, which needs none, 0.
        teacher_least, student_least: the smallest cell ``[..., H]``, likewise.
    """

    products: Tensor
    among: Tensor
    teacher_squares: Tensor
    teacher_totals: Tensor
    student_totals: Tensor
    teacher_least: Tensor
    student_least: Tensor

    @property
    def student_squares(self) -> Tensor:
        """``|s_j|_2²``, ``[..., Hs]``."""
        whole = self.among.shape.rank == self.products.shape.rank
        return tf.linalg.diag_part(self.among) if whole else self.among

    def wide(self) -> tuple[Tensor, Tensor, Tensor]:
        """Products and squares as sums of the many cells of a map go on, in float64."""
        given = self.products, self.teacher_squares, self.student_squares
        products, teacher_squares, student_squares = (tf.cast(one, tf.float64) for one in given)
        return products, teacher_squares, student_squares


class Divisors(NamedTuple):
    """What heads are divided by before anything else, ``[..., H, 1]``.

    Attributes:
        needless: true where all of them are 1.
    """

    teacher: Tensor
    student: Tensor
    needless: Tensor


def sums(heads: Heads, *, gram: bool) -> tuple[Sums, Divisors]:
    """Of heads as they came; where a norm is too small or too large, all over their peaks."""
    how = Sums(*[tf.reduce_sum] * 5, *[tf.reduce_min] * 2)
    found: Sums = heads.total(partial(sums_of_heads, gram=gram), (), how)
    squares = found.teacher_squares, found.student_squares

    def scaled() -> tuple[Sums, Divisors]:
        peaks = [tf.where(peak == 0, tf.ones_like(peak), peak) for peak in heads.peaks()]
        teacher, student = peaks

        def of_heads(teacher: Tensor, student: Tensor, *by: Tensor) -> Sums:
            return sums_of_heads(teacher / by[0], student / by[1], gram=gram)

        return heads.total(of_heads, peaks, how), Divisors(teacher, student, tf.constant(False))

    def undivided() -> tuple[Sums, Divisors]:
        teacher, student = (tf.ones_like(square)[..., tf.newaxis] for square in squares)
        return found, Divisors(teacher, student, tf.constant(True))

    safe = in_range(*squares, heads.peaks)
    chosen: tuple[Sums, Divisors] = tf.cond(safe, undivided, scaled)
    return chosen


def sums_of_heads(teacher: Tensor, student: Tensor, *, gram: bool) -> Sums:
    """Of heads ``[..., H, n]``, whatever they hold."""
    products = products_of(teacher, student)
    teacher_squares = _squares(teacher)
    if gram:
        among = products_of(student, student)
        none = tf.zeros_like(teacher_squares), tf.zeros_like(among[..., 0])
        return Sums(products, among, teacher_squares, *none, *none)
    return Sums(
        products=products,
        among=_squares(student),
        teacher_squares=teacher_squares,
        teacher_totals=tf.reduce_sum(teacher, axis=-1),
        student_totals=tf.reduce_sum(student, axis=-1),
        teacher_least=tf.reduce_min(teacher, axis=-1),
        student_least=tf.reduce_min(student, axis=-1),
    )


def products_of(one: Tensor, other: Tensor) -> Tensor:
    """``one otherᵀ`` of heads ``[..., H, n]``; very many cells in parts, to lose fewer digits."""
    cells = one.shape[-1]

    def whole() -> Tensor:
        return tf.matmul(one, other, transpose_b=True)

    def in_parts() -> Tensor:
        first, second = _parts(one), _parts(other)

        def of_part(part: Tensor) -> Tensor:
            both = (tf.gather(heads, part, axis=-2) for heads in (first, second))
            return tf.matmul(*both, transpose_b=True)

        parts = tf.range(tf.shape(first)[-2])
        return tf.reduce_sum(tf.map_fn(of_part, parts, fn_output_signature=one.dtype), axis=0)

    if cells is None:
        return tf.cond(tf.shape(one)[-1] > LONG, in_parts, whole)
    return in_parts() if cells > LONG else whole()


def _parts(heads: Tensor) -> Tensor:
    """``[..., H, parts, LONG]``, zeros behind the last cell."""
    shape = tf.shape(heads)
    count = -(-shape[-1] // LONG)
    behind = [[0, 0]] * (heads.shape.rank - 1) + [[0, count * LONG - shape[-1]]]
    return tf.reshape(tf.pad(heads, behind), tf.concat([shape[:-1], [count, LONG]], axis=0))


def in_range(
    teacher_squares: Tensor, student_squares: Tensor, peaks: Callable[[], tuple[Tensor, Tensor]]
) -> Tensor:
    """Whether no product of two cells that matter over- or underflows; not where one is NaN."""
    squares = teacher_squares, student_squares

    def all_but_empty_heads() -> Tensor:
        return _in_range(
            *(
                tf.where(peak[..., 0] == 0, tf.ones_like(square), square)
                for peak, square in zip(peaks(), squares, strict=True)
            )
        )

    return tf.cond(_in_range(*squares), lambda: tf.constant(True), all_but_empty_heads)


def as_they_came(gradient: Tensor, divisor: Tensor) -> Tensor:
    """By heads before they were divided, saturating."""
    return saturated(saturated(gradient) / divisor)


def _squares(heads: Tensor) -> Tensor:
    # ``reduce_euclidean_norm`` would be one pass less, but XLA has none.
    return tf.reduce_sum(tf.square(heads), axis=-1)


def _in_range(*squares: Tensor) -> Tensor:
    dtype = squares[0].dtype
    least, most = tiny(dtype) ** (1 / 3), float(dtype.max) ** (1 / 3)
    return tf.reduce_all([tf.reduce_all((one > least) & (one < most)) for one in squares])
