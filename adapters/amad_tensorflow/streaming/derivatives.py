"""From the gradient of a block's rows to that of queries, keys, bias and sinks.

``dz = s∘(ds - <s, ds>)``, ``dq = dz k scale``, ``dk = dzᵀ q scale``, ``dbias = dz``,
``dsink = -s_sink <s, ds>``; behind a soft cap ``dz`` is multiplied by its derivative ``1 - tanh²``.
Guarded by tests/streaming/test_tensorflow.py.
"""

import tensorflow as tf

from amad_tensorflow.attention.inputs import Tensor
from amad_tensorflow.streaming.blocks import lengths
from amad_tensorflow.streaming.queries_keys import QueriesKeys
from amad_tensorflow.streaming.rows import Rows, vectors

times = tf.math.multiply_no_nan
"""0 where the second factor is, though the first be infinite or NaN."""


def of_block(
    attended: QueriesKeys, sample: Tensor, rows: Tensor, found: Rows, of_maps: Tensor
) -> dict[str, Tensor]:
    """What follows from ``of_maps`` ``[H, q, K]``, of this block.

    ``queries`` ``[H, q, d]``, ``keys`` ``[Hk, K, d]``, ``bias`` ``[H, q, K]``, ``sinks``
    ``[H, q, 1]``; of ``ALL`` samples with one more axis in front. Where nothing counts, ``of_maps``
    is 0: so is all that follows, whatever queries and keys hold there.
    """
    weighted = times(found.maps, of_maps)
    means = tf.reduce_sum(weighted, axis=-1, keepdims=True)
    of_scores = weighted - times(found.maps, means)
    if found.fixed is not None:
        of_scores = tf.where(found.fixed, tf.zeros_like(of_scores), of_scores)
    gradients = {}
    if found.sinking is not None:
        gradients["sinks"] = -times(found.sinking, means)
    if attended.bias is not None:
        gradients["bias"] = of_scores
    if found.tanh is not None:
        of_scores = times(1 - tf.square(found.tanh), of_scores)
    # Where one that is no number counts, its row of scores is none already.
    queries, keys = (
        tf.where(tf.math.is_finite(one), one, tf.zeros([], one.dtype))
        for one in vectors(attended, sample, rows)
    )
    flat = tf.reshape(of_scores, [*lengths(keys)[:-2], -1, lengths(keys)[-2]])
    shape = [*lengths(of_scores)[:-1], lengths(keys)[-1]]
    gradients["queries"] = tf.reshape(tf.matmul(flat, keys), shape) * attended.factor
    gradients["keys"] = tf.matmul(flat, queries, transpose_a=True)
    return gradients
