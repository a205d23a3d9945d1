"""What is fixed in one evaluation, and what comes from above in the backward pass."""

from typing import NamedTuple

import tensorflow as tf

from amad_tensorflow.attention.inputs import Tensor
from amad_tensorflow.closed_form.gram import narrowed

MOST_HEADS = 2**10
"""A saturated gradient is finite for so many heads of both models together."""


class Options(NamedTuple):
    """What is fixed in one evaluation.

    Attributes:
        temperature, eps: numbers in float64, as no Python number is converted.
        at_once: all samples at a time, not one after another.
        in_graph: in a graph of the user's, where what nobody asks for is not computed.
    """

    variant: str
    temperature: Tensor
    eps: Tensor
    at_once: bool
    in_graph: bool = False


def of_each_sample(values: Tensor) -> Tensor:
    """``[B, ...]``, added up to ``[B]``."""
    return tf.reduce_sum(values, axis=list(range(1, values.shape.rank)))


def times(values: Tensor, upstream: Tensor, dtype: tf.DType) -> Tensor:
    """Those of each sample times what comes from above ``[B]``, in the dtype of cells."""
    share = tf.reshape(tf.cast(upstream, values.dtype), [-1] + [1] * (values.shape.rank - 1))
    return narrowed(values * share, dtype, MOST_HEADS)
