"""Where cells come from: what every variant asks of the heads that it compares.

Guarded by tests/closed_form/test_tensorflow.py.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from amad_tensorflow.attention.inputs import Tensor, known_shape

FEW_CELLS = 2**10
"""Maps of so many cells are taken all at once: a step of a loop costs more than they do."""

FEW_IN_ALL = 2**19
"""So are those of so many cells of all samples and heads together, which a cache holds."""


class Heads(Protocol):
    """The heads of both models, some cells of a sample at a time.

    A ``function`` is called with the teacher's and the student's heads ``[..., H, n]`` (of rows,
    ``[..., H, Q, K]``), and a sample's part of each tensor ``[B, ...]`` of ``small``.
    """

    @property
    def dtype(self) -> tf.DType:
        """Of the cells."""

    def total(self, function: Callable[..., Any], small: Sequence[Tensor], how: Any) -> Any:
        """What it returns, put together over cells, ``[B, ...]``.

        ``how``: by what, ``tf.reduce_sum`` or ``tf.reduce_min``, in the structure of the result.
        """

    def peaks(self) -> tuple[Tensor, Tensor]:
        """The largest cell of each head (of each row), its axis of cells kept."""

    def gradient(self, function: Callable[..., Tensor], small: Sequence[Tensor]) -> Any:
        """What follows from the derivatives by the student's heads, which it returns."""


class MapHeads(NamedTuple):
    """Heads that are there as maps: ``[B, H, n]`` or ``[B, H, Q, K]``.

    A sample at a time: what is made of it is used while it is in the cache.

    Attributes:
        at_once: all samples together instead, with one more axis in front.
    """

    teacher: Tensor
    student: Tensor
    at_once: bool

    @property
    def dtype(self) -> tf.DType:
        """Of the cells."""
        return self.student.dtype

    def total(self, function: Callable[..., Any], small: Sequence[Tensor], how: Any) -> Any:
        """A sample is one piece: there is nothing to put together."""
        given = (self.teacher, self.student, *small)
        if self.at_once:
            return function(*given)
        return tf.map_fn(
            lambda sample: function(*(one[sample] for one in given)),
            tf.range(tf.shape(self.student)[0]),
            parallel_iterations=1,
            fn_output_signature=tf.nest.map_structure(lambda _: self.dtype, how),
        )

    def peaks(self) -> tuple[Tensor, Tensor]:
        """The largest cell of each head (of each row)."""
        teacher, student = (
            tf.reduce_max(heads, axis=-1, keepdims=True) for heads in (self.teacher, self.student)
        )
        return teacher, student

    def gradient(self, function: Callable[..., Tensor], small: Sequence[Tensor]) -> Tensor:
        """By the student's maps."""
        gradient: Tensor = self.total(function, small, tf.reduce_sum)
        return gradient


def best_at_once(maps: Tensor) -> bool:
    """Whether maps ``[B, H, Q, K]`` are known to be so small that a loop would not pay."""
    batch, heads, queries, keys = known_shape(maps)
    if queries is None or keys is None:
        return False
    cells = queries * keys
    few = batch is not None and heads is not None and batch * heads * cells <= FEW_IN_ALL
    return few or cells <= FEW_CELLS


def either(ordinary: Tensor, way: Callable[[bool], Any]) -> Any:
    """``way`` of inputs that need no care, or of any: whole ways, so that what is in one fuses."""
    return tf.cond(ordinary, lambda: way(True), lambda: way(False))
