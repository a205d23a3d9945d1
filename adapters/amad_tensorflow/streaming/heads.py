"""Heads whose cells are computed block by block: the closed form's passes, of maps never built.

Guarded by tests/streaming/test_tensorflow.py.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from amad_tensorflow.attention.inputs import Tensor
from amad_tensorflow.streaming.blocks import Blocks, blocks, lengths
from amad_tensorflow.streaming.derivatives import of_block
from amad_tensorflow.streaming.queries_keys import QueriesKeys, part
from amad_tensorflow.streaming.rows import Rows, whole_rows


class Block(NamedTuple):
    """A block's heads, 0 where a cell does not count.

    Attributes:
        counted: ``[q, K]`` or broadcasts; ``None``: all do.
        found: the student's rows as they are.
    """

    teacher: Tensor
    student: Tensor
    counted: Tensor | None
    found: Rows


class StreamedHeads:
    """The heads of two models' queries and keys; see ``closed_form.heads.Heads``."""

    def __init__(
        self,
        teacher: QueriesKeys,
        student: QueriesKeys,
        counted: Tensor | None,
        *,
        in_rows: bool,
        queries_at_once: int | None,
    ) -> None:
        """``in_rows``: functions take heads as rows ``[H, q, K]``, not as vectors."""
        self._teacher, self._student, self._counted = teacher, student, counted
        self._in_rows, self.dtype = in_rows, student.queries.dtype
        self._batch, heads, queries, _ = lengths(student.queries)
        heads, keys = heads + lengths(teacher.queries)[1], lengths(student.keys)[2]
        self._blocks: Blocks = blocks(heads, queries, keys, queries_at_once)

    def total(self, function: Callable[..., Any], small: Sequence[Tensor], how: Any) -> Any:
        """Of all blocks of a sample, in float64."""

        def of_place(place: Tensor) -> Any:
            sample, rows = self._place(place)
            return self._given(function, self._block(sample, rows), sample, small)

        found = tf.map_fn(
            of_place,
            tf.range(self._batch * self._blocks.count),
            parallel_iterations=1,
            fn_output_signature=tf.nest.map_structure(lambda _: self.dtype, how),
        )
        return tf.nest.map_structure(lambda reduce, one: self._together(reduce, one), how, found)

    def peaks(self) -> tuple[Tensor, Tensor]:
        """The largest cell of each head."""

        def largest(teacher: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
            one, other = (tf.reduce_max(h, axis=-1, keepdims=True) for h in (teacher, student))
            return one, other

        found: tuple[Tensor, Tensor] = self.total(largest, (), (tf.reduce_max, tf.reduce_max))
        return found

    def gradient(
        self, function: Callable[..., Tensor], small: Sequence[Tensor]
    ) -> dict[str, Tensor]:
        """By the student's queries and keys, and its bias and sinks where it has them."""
        sums = {
            name: Sum(name, value, self._blocks)
            for name in ("queries", "keys", "bias", "sinks")
            if (value := getattr(self._student, name)) is not None
        }

        def step(place: Tensor, arrays: Mapping[str, Any]) -> tuple[Tensor, Mapping[str, Any]]:
            sample, rows = self._place(place)
            block = self._block(sample, rows)
            by_heads = self._given(function, block, sample, small)
            by_maps = tf.reshape(by_heads, tf.shape(block.student))
            by_maps = self._counting(by_maps, block.counted, rows)
            found = of_block(self._student, sample, rows, block.found, by_maps)
            number = place % self._blocks.count
            added = {
                name: one.add(arrays[name], sample, number, found[name])
                for name, one in sums.items()
            }
            return place + 1, added

        most = self._batch * self._blocks.count
        _, arrays = tf.while_loop(
            lambda place, _: place < most,
            step,
            (tf.constant(0), {name: one.empty() for name, one in sums.items()}),
            parallel_iterations=1,
        )
        return {name: one.whole(arrays[name]) for name, one in sums.items()}

    def _place(self, place: Tensor) -> tuple[Tensor, Tensor]:
        return place // self._blocks.count, self._blocks.rows(place % self._blocks.count)

    def _block(self, sample: Tensor, rows: Tensor) -> Block:
        counted = None if self._counted is None else part(self._counted, sample, rows)
        teacher = whole_rows(self._teacher, sample, rows).maps
        found = whole_rows(self._student, sample, rows)
        one, other = (self._counting(maps, counted, rows) for maps in (teacher, found.maps))
        return Block(one, other, counted, found)

    def _counting(self, values: Tensor, counted: Tensor | None, rows: Tensor) -> Tensor:
        """0 where a cell does not count, and beyond the last query."""
        if counted is not None:
            values = tf.where(counted, values, tf.zeros([], values.dtype))
        return self._blocks.real(values, rows)

    def _given(
        self,
        function: Callable[..., Any],
        block: Block,
        sample: Tensor,
        small: Sequence[Tensor],
    ) -> Any:
        heads = [block.teacher, block.student]
        if not self._in_rows:
            heads = [tf.reshape(one, [tf.shape(one)[0], -1]) for one in heads]
        return function(*heads, *(one[sample] for one in small))

    def _together(self, reduce: Callable[..., Tensor], found: Tensor) -> Tensor:
        """``[B * count, ...]`` to ``[B, ...]``; sums of many in float64."""
        shape = tf.concat([[self._batch, self._blocks.count], tf.shape(found)[1:]], axis=0)
        static = found.shape[1:]
        together = reduce(tf.cast(tf.reshape(found, shape), tf.float64), axis=1)
        return tf.ensure_shape(tf.cast(together, self.dtype), [None, *static])


class Sum(NamedTuple):
    """A gradient that comes together block by block, in an array of as many parts as it has.

    Along axes of length 1 of what is differentiated by, it is summed.
    """

    name: str
    of: Tensor
    blocks: Blocks

    @property
    def by_sample(self) -> bool:
        """Whether each sample has its own part."""
        return self.of.shape[0] != 1 or self.name in ("queries", "keys")

    @property
    def by_block(self) -> bool:
        """Whether each block of queries has."""
        return self.name == "queries" or (self.name != "keys" and self.of.shape[2] != 1)

    def empty(self) -> tf.TensorArray:
        """Zeros."""
        samples = tf.shape(self.of)[0] if self.by_sample else 1
        part = tf.shape(self.of)[1:]
        if self.by_block:
            samples *= self.blocks.count
            part = tf.stack([part[0], tf.shape(self.blocks.first)[0], part[2]])
        zeros = tf.zeros(tf.concat([[samples], part], axis=0), self.of.dtype)
        array = tf.TensorArray(self.of.dtype, size=samples, clear_after_read=False)
        return array.unstack(zeros)

    def add(
        self, array: tf.TensorArray, sample: Tensor, number: Tensor, found: Tensor
    ) -> tf.TensorArray:
        """Adds what a block has given, which is 0 beyond the last query."""
        if self.name != "keys":
            for axis in range(3):
                if self.of.shape[axis + 1] == 1:
                    found = tf.reduce_sum(found, axis=axis, keepdims=True)
        index = sample if self.by_sample else tf.zeros_like(sample)
        if self.by_block:
            index = index * self.blocks.count + number
        return array.write(index, array.read(index) + found)

    def whole(self, array: tf.TensorArray) -> Tensor:
        """As large as what is differentiated by."""
        stacked, shape = array.stack(), tf.shape(self.of)
        if not self.by_block:
            return tf.reshape(stacked, shape)
        parts = tf.concat([[-1, self.blocks.count], tf.shape(stacked)[1:]], axis=0)
        rows = tf.transpose(tf.reshape(stacked, parts), [0, 2, 1, 3, 4])
        rows = tf.reshape(rows, tf.stack([shape[0], shape[1], -1, shape[3]]))
        return tf.ensure_shape(rows[:, :, : self.blocks.queries], self.of.shape)
