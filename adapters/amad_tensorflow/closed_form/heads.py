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

BLOCK = 2**17
"""So many cells of the student are in a block of rows, at most."""


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


class RowHeads(NamedTuple):
    """Maps ``[B, H, Q, K]`` whose rows are compared each by itself: a block of rows at a time.

    Attributes:
        blocks: how many equal ones a sample falls into.
        at_once: all blocks of all samples together.
    """

    teacher: Tensor
    student: Tensor
    blocks: int
    at_once: bool

    @property
    def dtype(self) -> tf.DType:
        """Of the cells."""
        return self.student.dtype

    def total(self, function: Callable[..., Any], small: Sequence[Tensor], how: Any) -> Any:
        """Put together over the blocks of a sample."""
        found = self._of_blocks(function, small, how)
        return tf.nest.map_structure(
            lambda reduce, one: reduce(self._by_sample(one), axis=1), how, found
        )

    def peaks(self) -> tuple[Tensor, Tensor]:
        """The largest cell of each row."""
        return MapHeads(self.teacher, self.student, self.at_once).peaks()

    def gradient(self, function: Callable[..., Tensor], small: Sequence[Tensor]) -> Tensor:
        """By the student's maps."""
        found = self._by_sample(self._of_blocks(function, small, tf.reduce_sum))
        return tf.reshape(tf.transpose(found, [0, 2, 1, 3, 4]), tf.shape(self.student))

    def _of_blocks(self, function: Callable[..., Any], small: Sequence[Tensor], how: Any) -> Any:
        teacher, student = self._in_blocks(self.teacher), self._in_blocks(self.student)
        given = [tf.repeat(one, self.blocks, axis=0) for one in small]
        return MapHeads(teacher, student, self.at_once).total(function, given, how)

    def _in_blocks(self, maps: Tensor) -> Tensor:
        _, _, queries, keys = self.student.shape
        heads, rows = tf.shape(maps)[1], queries // self.blocks
        parts = tf.reshape(maps, [-1, heads, self.blocks, rows, keys])
        return tf.reshape(tf.transpose(parts, [0, 2, 1, 3, 4]), [-1, heads, rows, keys])

    def _by_sample(self, found: Tensor) -> Tensor:
        return tf.reshape(found, tf.concat([[-1, self.blocks], tf.shape(found)[1:]], axis=0))


def blocks_of_rows(maps: Tensor) -> int:
    """Into how many equal blocks a sample of ``[B, H, Q, K]`` falls; 1 where it is not known."""
    _, heads, queries, keys = known_shape(maps)
    if heads is None or queries is None or keys is None:
        return 1
    most = max(BLOCK // (heads * keys), 1)
    rows = max(rows for rows in range(1, min(most, queries) + 1) if queries % rows == 0)
    return queries // rows if 4 * rows >= most else 1  # else steps would be many and small


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
