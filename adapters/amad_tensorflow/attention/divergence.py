"""Divergence: how far a teacher head is from its mixture of student heads."""

import tensorflow as tf

from amad_tensorflow.attention.inputs import Tensor, tiny


def squared_distance(target: Tensor, mixture: Tensor, eps: float) -> Tensor:
    """Eq. 4: ``|t - m|²``, in [0, 2] for L2-normalised maps. No logarithm: ``eps`` is unused."""
    return tf.reduce_sum(tf.square(target - mixture), axis=-1)


def kl_divergence(target: Tensor, mixture: Tensor, eps: float) -> Tensor:
    """Eq. 9: ``Σ p log(p / max(m, eps))``, teacher first.

    Exact [D5]: ``0 log 0 = 0``, and ``+inf`` where ``p > 0`` meets ``max(m, eps) = 0``.
    """
    holds = target > 0
    # A difference of logarithms: the derivative of log(p/m) passes through p/m², which overflows.
    one = tf.ones_like(target)
    logarithm = tf.math.log(tf.where(holds, target, one)) - tf.math.log(
        tf.where(holds, _floored(mixture, eps), one)
    )
    return tf.reduce_sum(target * logarithm, axis=-1)


def jensen_shannon_divergence(target: Tensor, mixture: Tensor, eps: float) -> Tensor:
    """``½ Σ p log(p / h) + ½ Σ m log(m / h)`` with ``h = (p + m)/2``; in [0, log 2].

    Beyond the paper. ``eps`` is a floor on ``m`` and ``h`` inside the logarithms; it keeps the
    derivative finite and moves the value by no more than ``eps`` a cell.
    """
    # Without a floor the derivative of an empty cell is -inf; the value does not need one.
    eps = max(eps, tiny(mixture.dtype))
    half = (target + mixture) / 2
    logarithm = tf.math.log(_floored(mixture, eps)) - tf.math.log(_floored(half, eps))
    from_mixture = tf.reduce_sum(mixture * logarithm, axis=-1)
    return (kl_divergence(target, half, eps) + from_mixture) / 2


def _floored(values: Tensor, eps: float) -> Tensor:
    # Not maximum: at and below the floor the derivative is 0, and maximum passes it at equality.
    # Nor `values > eps`, which would make a number of NaN, where nobody looks at values.
    return tf.where(values <= eps, tf.constant(eps, values.dtype), values)
