"""Rows of probabilities, one block at a time, or all at once.

``s = softmax(z)`` over a whole row, ``z = softcap(q kᵀ scale) + bias`` where a key is seen. A row
is always in one block, and its softmax is taken anew in each sweep. Guarded by
tests/streaming/test_tensorflow.py.
"""

import math
from typing import Any, NamedTuple

import tensorflow as tf

from amad_tensorflow.attention.inputs import Tensor
from amad_tensorflow.streaming.blocks import lengths
from amad_tensorflow.streaming.queries_keys import ALL, QueriesKeys, part, seen_keys


class Rows(NamedTuple):
    """One model's part of a block; of all samples at once with one more axis in front.

    Attributes:
        maps: probabilities ``[H, q, K]``.
        fixed: true for rows that do not depend on the scores, ``[H, q, 1]`` or broadcasts;
            ``None``: there is none.
        tanh: of the scores, where there is a soft cap.
        sinking: the probability of the sink ``[H, q, 1]``, where there is one.
    """

    maps: Tensor
    fixed: Tensor | None
    tanh: Tensor | None
    sinking: Tensor | None


def whole_rows(attended: QueriesKeys, sample: Any, rows: Any) -> Rows:
    """The rows of the maps, as they are; of a sample and some of its queries, or of ``ALL``."""
    scores, tanh = _scores(attended, sample, rows)
    seen, blank = seen_keys(attended, sample, rows), None
    if seen is not None:
        blank = ~tf.reduce_any(seen, axis=-1, keepdims=True)
        # Below what any bias makes of a key that is seen; a row without one is even, not NaN.
        hidden = tf.where(blank, *(tf.constant(one, scores.dtype) for one in (0.0, -math.inf)))
        scores = tf.where(seen, scores, hidden)
    maps, sinking = tf.nn.softmax(scores), None
    if attended.sinks is not None:
        # The sum that a row was divided by, from its largest cell.
        sums = tf.reduce_max(scores, -1, keepdims=True) - tf.math.log(
            tf.reduce_max(maps, -1, keepdims=True)
        )
        above = part(attended.sinks, sample, rows) - sums
        sinking = tf.sigmoid(above)
        maps *= tf.sigmoid(-above)
    if blank is None:
        return Rows(maps, None, tanh, sinking)
    even = attended.even_in_empty_rows and attended.sinks is None
    share = 1 / tf.cast(tf.shape(maps)[-1], maps.dtype) if even else tf.zeros([], maps.dtype)
    return Rows(tf.where(blank, share, maps), blank, tanh, sinking)


def vectors(attended: QueriesKeys, sample: Any, rows: Any) -> tuple[Tensor, Tensor]:
    """Queries times the scale, and keys, of a block for products, one matrix a key head.

    The queries of the heads that share keys stand behind each other.
    """
    queries = part(attended.queries, sample, rows) * attended.factor
    keys = part(attended.keys, sample, ALL)
    return tf.reshape(queries, [*lengths(keys)[:-2], -1, lengths(queries)[-1]]), keys


def _scores(attended: QueriesKeys, sample: Any, rows: Any) -> tuple[Tensor, Tensor | None]:
    """``softcap(q kᵀ scale) + bias`` ``[H, q, K]``, and the ``tanh`` in it."""
    queries, keys = vectors(attended, sample, rows)
    flat = tf.matmul(queries, keys, transpose_b=True)
    *samples, _, count, _ = lengths(keys)
    scores = tf.reshape(flat, [*samples, lengths(attended.queries)[1], -1, count])
    tanh = None
    if attended.softcap is not None:
        tanh = tf.tanh(scores / attended.softcap)
        scores = tanh * attended.softcap
    if attended.bias is not None:
        scores += part(attended.bias, sample, rows)
    return scores, tanh
