"""Sums of matrix products that are as large as maps.

Guarded by tests/closed_form/test_tensorflow.py.
"""

import tensorflow as tf

from amad_tensorflow.attention.inputs import Tensor


def added_up(
    *pairs: tuple[Tensor, Tensor], line: tuple[Tensor, Tensor, Tensor] | None = None
) -> Tensor:
    """``Σ_p left_p right_p`` of pairs ``[B, ..., Hs, H]``, ``[B, ..., H, n]``, a sample at a time.

    So they are added up while they are in the cache. ``line``: ``a``, ``v`` and ``b`` of an
    ``a v + b`` that is added cell by cell, ``v`` ``[B, ..., Hs, n]``.
    """
    left, right = pairs[0]
    shape = left.shape[1:-1].concatenate(right.shape[-1:])
    count = tf.shape(right)[0]

    def of_sample(sample: Tensor, found: tf.TensorArray) -> tuple[Tensor, tf.TensorArray]:
        products = [tf.matmul(one[sample], other[sample]) for one, other in pairs]
        if line is not None:
            slope, values, offset = (one[sample] for one in line)
            products.append(slope * values + offset)
        return sample + 1, found.write(sample, tf.add_n(products))

    found = tf.TensorArray(right.dtype, size=count, element_shape=shape)
    _, found = tf.while_loop(
        lambda sample, _: sample < count, of_sample, (0, found), parallel_iterations=1
    )
    stacked: Tensor = found.stack()
    return tf.ensure_shape(stacked, right.shape[:1].concatenate(shape))
