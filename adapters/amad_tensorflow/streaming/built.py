"""Maps that are built where cells are few, with the gradient that a block's rows have.

Guarded by tests/streaming/test_tensorflow.py.
"""

from collections.abc import Sequence
from dataclasses import replace

import tensorflow as tf

from amad_tensorflow.attention.inputs import Tensor
from amad_tensorflow.streaming.derivatives import of_block
from amad_tensorflow.streaming.inputs import DIFFERENTIABLE
from amad_tensorflow.streaming.once import Backward, differentiable_once
from amad_tensorflow.streaming.queries_keys import ALL, QueriesKeys
from amad_tensorflow.streaming.rows import whole_rows


def attention_maps(attended: QueriesKeys) -> Tensor:
    """The maps themselves, ``[B, H, Q, K]``, differentiable once."""
    given = {name: getattr(attended, name) for name in DIFFERENTIABLE}
    given = {name: value for name, value in given.items() if value is not None}

    def maps(*leaves: Tensor) -> tuple[Tensor, Backward]:
        held = replace(attended, **dict(zip(given, leaves, strict=True)))
        found = whole_rows(held, ALL, ALL)

        def backward(of_maps: Tensor) -> Sequence[Tensor]:
            by_name = of_block(held, ALL, ALL, found, of_maps)
            return [_as_large_as(value, by_name[name]) for name, value in given.items()]

        return found.maps, backward

    return differentiable_once(maps, list(given.values()))


def _as_large_as(given: Tensor, found: Tensor) -> Tensor:
    """A gradient, summed where what it is by was repeated."""
    repeated = tf.raw_ops.BroadcastGradientArgs(s0=tf.shape(given), s1=tf.shape(found)).r0
    summed = tf.reshape(tf.reduce_sum(found, axis=repeated), tf.shape(given))
    return tf.ensure_shape(summed, given.shape)
