"""Divergence: how far a teacher head is from its mixture of student heads."""

import math

from keras import ops

from amad_keras.attention.inputs import tiny
from amad_keras.capture.tensors import Tensor


def squared_distance(target: Tensor, mixture: Tensor, eps: float) -> Tensor:
    """Eq. 4: ``|t - m|²``, in [0, 2] for L2-normalised maps. No logarithm: ``eps`` is unused."""
    return ops.sum(ops.square(target - mixture), axis=-1)


def kl_divergence(target: Tensor, mixture: Tensor, eps: float) -> Tensor:
    """Eq. 9: ``Σ p log(p / max(m, eps))``, teacher first.

    Exact [D5]: ``0 log 0 = 0``, and ``+inf`` where ``p > 0`` meets ``max(m, eps) = 0``.
    """
    holds = target > 0
    # A difference of logarithms: the derivative of log(p/m) passes through p/m², which overflows.
    zero, one = ops.zeros_like(target), ops.ones_like(target)
    log_target = ops.log(ops.where(holds, target, one))
    logarithm = log_target - ops.where(holds, _floored_log(mixture, eps), zero)
    return ops.sum(target * logarithm, axis=-1)


def jensen_shannon_divergence(target: Tensor, mixture: Tensor, eps: float) -> Tensor:
    """``½ Σ p log(p / h) + ½ Σ m log(m / h)`` with ``h = (p + m)/2``; in [0, log 2].

    Beyond the paper. ``eps`` is a floor on ``m`` and ``h`` inside the logarithms; it keeps the
    derivative finite and moves the value by no more than ``eps`` a cell.
    """
    # Without a floor the derivative of an empty cell is -inf; the value does not need one.
    eps = max(eps, tiny(mixture.dtype))
    half = (target + mixture) / 2
    logarithm = _floored_log(mixture, eps) - _floored_log(half, eps)
    from_mixture = ops.sum(mixture * logarithm, axis=-1)
    return (kl_divergence(target, half, eps) + from_mixture) / 2


def _floored_log(values: Tensor, eps: float) -> Tensor:
    """``log(max(v, eps))``, also for an ``eps`` that the dtype of ``v`` cannot hold [D5]."""
    # Not maximum: at and below the floor the derivative is 0, and maximum passes it at equality.
    # Nor `values > eps`, which would make a number of NaN, where nobody looks at values.
    below = values <= eps
    floor = ops.full_like(values, math.log(eps) if eps > 0 else -math.inf)
    return ops.where(below, floor, ops.log(ops.where(below, ops.ones_like(values), values)))
