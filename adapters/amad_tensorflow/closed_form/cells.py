"""Divergences of L1-normalised heads and their slopes, cell by cell.

``target`` and ``mixture`` are ``[..., H, n]``. The derivative by the mixture is the slope times the
divergence's ``factor``. One quotient and one logarithm a cell where the readable form takes two
of each, for floors ``eps`` from the smallest normal number to 1. Guarded by
tests/closed_form/test_tensorflow.py.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import tensorflow as tf

from amad_tensorflow.attention.inputs import Tensor, tiny


class CellDivergence(NamedTuple):
    """A divergence of two heads as a sum over cells.

    Attributes:
        value_and_slope: ``(target, mixture, eps)`` to the sum over cells and one slope a cell.
        factor: the derivative by the mixture over the slope.
    """

    value_and_slope: Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]]
    factor: float


def kl(target: Tensor, mixture: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Eq. 9: ``Σ p log(p / max(m, eps))``; the slope ``p/m``, and 0 at and below the floor."""
    ratio = target / tf.maximum(mixture, eps)
    value = tf.reduce_sum(target * _logarithm(ratio), axis=-1)
    # ``where(m - eps > 0, ratio, 0)``, which has an operation of its own, three times as fast.
    return value, tf.raw_ops.ReluGrad(gradients=ratio, features=mixture - eps)


def js(target: Tensor, mixture: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """``½ Σ p log(p/h) + ½ Σ m log(m/h)``, ``h = (p + m)/2``, ``m`` and ``h`` floored in logs.

    The slope is ``log(m/h) + [m > eps] - [h > eps]``.
    """
    half = (target + mixture) / 2
    floored = tf.maximum(half, eps)
    logarithm = tf.math.log(tf.maximum(mixture, eps) / floored)
    cells = target * _logarithm(target / floored) + mixture * logarithm
    passed = tf.cast(mixture > eps, half.dtype) - tf.cast(half > eps, half.dtype)
    return tf.reduce_sum(cells, axis=-1) / 2, logarithm + passed


DIVERGENCES: Mapping[str, CellDivergence] = MappingProxyType(
    {
        "kl": CellDivergence(kl, -1.0),  # eq. 9
        "token": CellDivergence(kl, -1.0),  # eq. 12
        "js": CellDivergence(js, 0.5),  # beyond the paper
    }
)


def _logarithm(ratio: Tensor) -> Tensor:
    """Of ``p/m``; where that is 0, so is ``p``, and any logarithm does."""
    return tf.math.log(tf.maximum(ratio, tiny(ratio.dtype)))
