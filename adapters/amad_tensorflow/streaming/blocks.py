"""Blocks: which queries of a sample are looked at together."""

from typing import Any, NamedTuple

import tensorflow as tf

from amad_tensorflow.attention.inputs import Tensor

CELLS = 2**22
"""So many cells of both models are in a block, unless one query has more."""


Length = Any
"""A number of something: an integer, or a tensor of one where a graph does not know it."""


class Blocks(NamedTuple):
    """Ranges of queries, equally long; the last one may go on beyond the last query.

    Attributes:
        count: blocks a sample.
        first: the queries of the first block, ``[q]``.
        queries: how many queries there are.
    """

    count: Length
    first: Tensor
    queries: Length

    def rows(self, block: Tensor) -> Tensor:
        """The queries of a block, ``[q]``."""
        return self.first + block * tf.shape(self.first)[0]

    def real(self, values: Tensor, rows: Tensor) -> Tensor:
        """Values ``[H, q, n]`` of a block, 0 beyond the last query."""

        def cut() -> Tensor:
            there = (rows < self.queries)[:, tf.newaxis]
            return tf.where(there, values, tf.zeros([], values.dtype))

        # To choose among cells is a pass over memory as costly as a softmax: in the last block.
        return tf.cond(rows[-1] < self.queries, lambda: values, cut)


def blocks(heads: Length, queries: Length, keys: Length, queries_at_once: int | None) -> Blocks:
    """Of so many heads of both models together, queries and keys."""
    known = all(isinstance(one, int) for one in (heads, queries, keys))
    least, largest = (min, max) if known else (tf.minimum, tf.maximum)
    most = largest(1, CELLS // (heads * keys)) if queries_at_once is None else queries_at_once
    count = -(-queries // least(most, queries))
    if known:
        # Cells beyond the last query are 0, and 0 is a number that needs care: rather more blocks.
        whole = (one for one in range(count, 2 * count) if queries % one == 0)
        count = next(whole, count)
    return Blocks(count, tf.range(-(-queries // count)), queries)


def lengths(tensor: Tensor) -> list[Length]:
    """Of its axes."""
    found = tf.shape(tensor)
    return [found[axis] if one is None else one for axis, one in enumerate(tensor.shape)]
