"""Divergence: how far a teacher head is from its mixture of student heads, and the derivative.

Every divergence is a pair of functions over the last axis, ``[..., n]``: the value, and its
derivative with respect to the mixture, cell by cell.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import rel_entr, xlogy

from amad_core.attention.inputs import FloatArray


class Divergence(NamedTuple):
    """``value(target, mixture, eps)`` and ``gradient(target, mixture, eps)``."""

    value: Callable[[FloatArray, FloatArray, float], FloatArray]
    gradient: Callable[[FloatArray, FloatArray, float], FloatArray]


def squared_distance(target: FloatArray, mixture: FloatArray, eps: float) -> FloatArray:
    """Eq. 4: ``|t - m|²``, in [0, 2] for L2-normalised maps. No logarithm: ``eps`` is unused."""
    return np.asarray(np.sum((target - mixture) ** 2, axis=-1))


def squared_distance_gradient(target: FloatArray, mixture: FloatArray, eps: float) -> FloatArray:
    """Of eq. 4: ``-2 (t - m)``."""
    return -2.0 * (target - mixture)


def kl_divergence(target: FloatArray, mixture: FloatArray, eps: float) -> FloatArray:
    """Eq. 9: ``Σ p log(p / max(m, eps))``, teacher first.

    Exact [D5]: ``0 log 0 = 0``, and ``+inf`` where ``p > 0`` meets ``max(m, eps) = 0``.
    """
    return np.asarray(np.sum(rel_entr(target, np.maximum(mixture, eps)), axis=-1))


def kl_divergence_gradient(target: FloatArray, mixture: FloatArray, eps: float) -> FloatArray:
    """Of eq. 9: ``-p / m``; 0 at and below the floor ``eps``, and wherever ``p = 0`` [D11].

    ``-inf`` where the mixture is empty, or so small that the quotient overflows [D19].
    """
    counts = (target > 0) & ((mixture > eps) | (eps == 0))
    with np.errstate(divide="ignore", over="ignore"):
        return -np.divide(target, mixture, out=np.zeros_like(mixture), where=counts)


def jensen_shannon_divergence(target: FloatArray, mixture: FloatArray, eps: float) -> FloatArray:
    """``½ Σ p log(p / h) + ½ Σ m log(m / h)`` with ``h = (p + m)/2``; in [0, log 2].

    Beyond the paper. ``eps`` is a floor on ``m`` and ``h`` inside the logarithms; it keeps the
    derivative finite and moves the value by no more than ``eps`` a cell.
    """
    half = (target + mixture) / 2
    from_target = rel_entr(target, np.maximum(half, eps))
    from_mixture = xlogy(mixture, _floored_ratio(mixture, half, eps))
    return np.asarray(np.sum(from_target + from_mixture, axis=-1) / 2)


def jensen_shannon_divergence_gradient(
    target: FloatArray, mixture: FloatArray, eps: float
) -> FloatArray:
    """``½ log(m / h)``; 0 in a cell empty on both sides, as if masked out [D11].

    With a floor: ``½ (log(max(m, eps) / max(h, eps)) + [m > eps] - [h > eps])``. Without one it is
    ``-inf`` where the mixture is empty and the teacher is not.
    """
    half = (target + mixture) / 2
    above = (mixture > eps).astype(np.float64) - (half > eps)
    with np.errstate(divide="ignore"):
        return (np.log(_floored_ratio(mixture, half, eps)) + above) / 2


def _floored_ratio(mixture: FloatArray, half: FloatArray, eps: float) -> FloatArray:
    """``max(m, eps) / max(h, eps)``, in [0, 2]; 1 where both are 0."""
    floored = np.maximum(half, eps)
    return np.divide(np.maximum(mixture, eps), floored, out=np.ones_like(half), where=floored > 0)


SQUARED_DISTANCE = Divergence(squared_distance, squared_distance_gradient)
KL_DIVERGENCE = Divergence(kl_divergence, kl_divergence_gradient)
JENSEN_SHANNON_DIVERGENCE = Divergence(
    jensen_shannon_divergence, jensen_shannon_divergence_gradient
)
