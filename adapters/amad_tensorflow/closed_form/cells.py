"""Divergences of heads and their slopes, cell by cell.

``target`` and ``mixture`` are ``[..., H, n]``, ``κ`` times probabilities; ``floor`` is ``κ eps``.
The derivative by the mixture is the slope times the divergence's ``factor``. One quotient and one
logarithm a cell where the readable form takes two of each, for floors ``eps`` from the smallest
normal number to 1. Guarded by tests/closed_form/test_tensorflow.py.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import tensorflow as tf

from amad_tensorflow.attention.inputs import Tensor, tiny


class Cells(NamedTuple):
    """What is compared; ``floor`` is ``None`` where no cell of the mixture meets it."""

    target: Tensor
    mixture: Tensor
    floor: Tensor | None


class CellDivergence(NamedTuple):
    """A divergence of two heads as a sum over cells.

    Attributes:
        value_and_slope: the sum over cells, and one slope a cell.
        factor: the derivative by the mixture over the slope.
        homogeneous: whether a target that is ``λ`` times as large has ``λ`` times the slopes, and
            so may be any multiple of probabilities.
    """

    value_and_slope: Callable[[Cells], tuple[Tensor, Tensor]]
    factor: float
    homogeneous: bool


def kl(cells: Cells) -> tuple[Tensor, Tensor]:
    """Eq. 9: ``Σ p log(p / max(m, eps))``; the slope ``p/m``, and 0 at and below the floor."""
    ratio = cells.target / _floored(cells.mixture, cells)
    logarithms = tf.math.xlogy(cells.target, _positive(ratio, cells))
    return tf.reduce_sum(logarithms, axis=-1), _above_floor(ratio, cells)


def js(cells: Cells) -> tuple[Tensor, Tensor]:
    """``½ Σ p log(p/h) + ½ Σ m log(m/h)``, ``h = (p + m)/2``, ``m`` and ``h`` floored in logs.

    The slope is ``log(m/h) + [m > eps] - [h > eps]``.
    """
    half = (cells.target + cells.mixture) / 2
    floored = _floored(half, cells)
    slope = tf.math.log(_floored(cells.mixture, cells) / floored)
    ratio = _positive(cells.target / floored, cells)
    values = tf.math.xlogy(cells.target, ratio) + cells.mixture * slope
    if cells.floor is not None:
        above = [tf.cast(one > cells.floor, half.dtype) for one in (cells.mixture, half)]
        slope += above[0] - above[1]
    return tf.reduce_sum(values, axis=-1) / 2, slope


DIVERGENCES: Mapping[str, CellDivergence] = MappingProxyType(
    {
        "kl": CellDivergence(kl, -1.0, homogeneous=True),  # eq. 9
        "token": CellDivergence(kl, -1.0, homogeneous=True),  # eq. 12
        "js": CellDivergence(js, 0.5, homogeneous=False),  # beyond the paper
    }
)


def _floored(values: Tensor, cells: Cells) -> Tensor:
    return values if cells.floor is None else tf.maximum(values, cells.floor)


def _above_floor(values: Tensor, cells: Cells) -> Tensor:
    if cells.floor is None:
        return values
    # ``where(m - eps > 0, values, 0)``, which has an operation of its own, three times as fast.
    return tf.raw_ops.ReluGrad(gradients=values, features=cells.mixture - cells.floor)


def _positive(ratio: Tensor, cells: Cells) -> Tensor:
    """Of ``p/m``; where that is 0, so is ``p``, and any logarithm does."""
    return ratio if cells.floor is None else tf.maximum(ratio, tiny(ratio.dtype))
