"""From the gradient of a block's rows to that of queries, keys, bias and sinks.

``dz = s∘(ds - <s, ds>)``, ``dq = dz k scale``, ``dk = dzᵀ q scale``, ``dbias = dz``,
``dsink = -s_sink <s, ds>``; behind a soft cap ``dz`` is multiplied by its derivative ``1 - tanh²``.
Guarded by tests/streaming/test_tensorflow.py.
"""

import tensorflow as tf

from amad_tensorflow.attention.inputs import Tensor
from amad_tensorflow.streaming.queries_keys import QueriesKeys
from amad_tensorflow.streaming.rows import Rows, vectors


def of_block(
    attended: QueriesKeys, sample: Tensor, rows: Tensor, found: Rows, of_maps: Tensor
) -> dict[str, Tensor]:
    """What follows from ``of_maps`` ``[H, q, K]``, of this block.

    ``queries`` ``[H, q, d]``, ``keys`` ``[Hk, K, d]``, ``bias`` ``[H, q, K]``, ``sinks``
    ``[H, q, 1]``.
    """
    weighted = found.maps * of_maps
    means = tf.reduce_sum(weighted, axis=-1, keepdims=True)
    of_scores = weighted - found.maps * means
    if found.fixed is not None:
        of_scores = tf.where(found.fixed, tf.zeros_like(of_scores), of_scores)
    gradients = {}
    if found.sinking is not None:
        gradients["sinks"] = -found.sinking * means
    if attended.bias is not None:
        gradients["bias"] = of_scores
    if found.tanh is not None:
        of_scores *= 1 - tf.square(found.tanh)
    queries, keys = vectors(attended, sample, rows)
    count = tf.shape(keys)
    flat = tf.reshape(of_scores, tf.stack([count[0], -1, count[1]]))
    shape = tf.stack([tf.shape(of_scores)[0], tf.shape(rows)[0], count[2]])
    gradients["queries"] = tf.reshape(tf.matmul(flat, keys), shape) * attended.factor
    gradients["keys"] = tf.matmul(flat, queries, transpose_a=True)
    return gradients
