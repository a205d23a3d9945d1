"""Divergences a block of cells at a time: their values and slopes, in memory that is used again.

``target`` and ``mixture`` are L1-normalised heads ``[..., k]``, ``k`` of their cells; ``work`` are
two tensors of that shape. Mixture and work are used up, and the slope lies in one of them. The
derivative by the mixture is the slope times the divergence's ``factor``. Guarded by
tests/closed_form/test_cells.py.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

Work = tuple[Tensor, Tensor]


class CellDivergence(NamedTuple):
    """A divergence of two heads as a sum over cells.

    Attributes:
        value: ``(target, mixture, work, eps)`` to the sum over these cells, ``[...]``, and slope;
            with ``eps`` ``None``, no cell of either is 0 or at the floor. Then target and mixture
            may be multiplied by a number: the slope stays, the value is multiplied.
        slope: the same without the value.
        factor: the derivative by the mixture over the slope.
    """

    value: Callable[[Tensor, Tensor, Work, float | None], tuple[Tensor, Tensor]]
    slope: Callable[[Tensor, Tensor, Work, float | None], Tensor]
    factor: float


def kl_value(
    target: Tensor, mixture: Tensor, work: Work, eps: float | None
) -> tuple[Tensor, Tensor]:
    """Eq. 9: ``Σ p log(p / max(m, eps))``, from one ratio ``p/m``, which is the slope as well."""
    if eps is None:
        ratio = kl_slope(target, mixture, work, eps)
        return torch.log(ratio, out=work[0]).mul_(target).sum(dim=-1), ratio
    tiny = torch.finfo(mixture.dtype).tiny
    missed = _missed(target, mixture, max(eps, tiny))
    floor: float | Tensor = math.log(eps) if eps > 0 else -math.inf
    if missed is not None and eps < tiny:
        floor = mixture.log().where(mixture > eps, floor)  # the ratio may overflow
    ratio = kl_slope(target, mixture, work, eps)
    # Where p is 0 the ratio is too, and any logarithm does.
    logarithm = torch.clamp(ratio, min=tiny, out=work[0]).log_()
    if missed is not None:
        torch.where(missed, target.log() - floor, logarithm, out=logarithm)
    return logarithm.mul_(target).sum(dim=-1), ratio


def kl_slope(target: Tensor, mixture: Tensor, work: Work, eps: float | None) -> Tensor:
    """``p/m``, saturating, 0 at and below the floor: eq. 9 has the derivative ``-p/m``."""
    if eps is None:
        return torch.div(target, mixture, out=mixture)
    limits = torch.finfo(mixture.dtype)
    torch.threshold_(mixture, min(eps, limits.max), math.inf)
    slope = torch.div(target, mixture, out=mixture)
    return slope.clamp_(max=limits.max) if eps < limits.tiny else slope


def js_value(
    target: Tensor, mixture: Tensor, work: Work, eps: float | None
) -> tuple[Tensor, Tensor]:
    """``½ Σ p log(p / h) + ½ Σ m log(m / h)``, ``h = (p + m)/2``, ``m`` and ``h`` floored in logs.

    Above the floor ``p/h = 2 - m/h``: one quotient, and near 1 no digit of it is lost. Far below
    1 all are, at the cost of less than a rounding of ``h``.
    """
    half = torch.lerp(target, mixture, 0.5, out=work[0])
    eps = None if eps is None else max(eps, torch.finfo(mixture.dtype).tiny)
    if eps is None or _all_above(mixture, 2 * eps):
        quotient = torch.div(mixture, half, out=half)
        other = torch.sub(2, quotient, out=work[1]).clamp_(min=torch.finfo(half.dtype).eps / 4)
        from_target = other.log_().mul_(target).sum(dim=-1)
        logarithm = quotient.log_()
        return (from_target + mixture.mul_(logarithm).sum(dim=-1)) / 2, logarithm
    from_target = _floored_kl(target, half, work[1], eps)
    logarithm, passed = _floored_logarithm(mixture, half, eps)
    value = (from_target + mixture.mul_(logarithm).sum(dim=-1)) / 2
    return value, logarithm.add_(passed)


def js_slope(target: Tensor, mixture: Tensor, work: Work, eps: float | None) -> Tensor:
    """``log(m / h)``; at the floor ``log(max(m, eps)/max(h, eps)) + [m > eps] - [h > eps]``.

    The Jensen-Shannon divergence has half of it as its derivative.
    """
    half = torch.lerp(target, mixture, 0.5, out=work[0])
    eps = None if eps is None else max(eps, torch.finfo(mixture.dtype).tiny)
    if eps is None or _all_above(mixture, 2 * eps):
        return torch.div(mixture, half, out=half).log_()
    logarithm, passed = _floored_logarithm(mixture, half, eps)
    return logarithm.add_(passed)


def _floored_kl(target: Tensor, half: Tensor, out: Tensor, eps: float) -> Tensor:
    """``Σ p log(p / max(h, eps))``."""
    if eps >= 1:  # no cell is above it, and a dtype may not hold it
        return torch.xlogy(target, target).sum(dim=-1) - math.log(eps) * target.sum(dim=-1)
    ratio = torch.div(target, torch.clamp(half, min=eps, out=out), out=out)
    # Where p is 0, any logarithm does.
    return ratio.clamp_(min=torch.finfo(out.dtype).tiny).log_().mul_(target).sum(dim=-1)


def _floored_logarithm(mixture: Tensor, half: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """``log(max(m, eps)/max(h, eps))``, in the memory of ``half``; ``[m > eps] - [h > eps]``."""
    eps = min(eps, 1.0)  # no cell is above 1
    passed = (mixture > eps).to(half.dtype).sub_((half > eps).to(half.dtype))
    logarithm = torch.div(mixture.clamp(min=eps), half.clamp_(min=eps), out=half).log_()
    return logarithm, passed


def _all_above(values: Tensor, bound: float) -> bool:
    """Whether all values are known to be larger; on a device nobody looks."""
    return values.device.type == "cpu" and bool(values.amin(dim=-1).amin() > bound)


def _missed(target: Tensor, mixture: Tensor, eps: float) -> Tensor | None:
    """True where the teacher has mass and the mixture is at or below the floor."""
    if _all_above(mixture, eps):
        return None
    missed = (mixture <= eps) & (target > 0)
    return missed if mixture.device.type != "cpu" or bool(missed.any()) else None


DIVERGENCES: Mapping[str, CellDivergence] = MappingProxyType(
    {
        "kl": CellDivergence(kl_value, kl_slope, -1.0),  # eq. 9
        "token": CellDivergence(kl_value, kl_slope, -1.0),  # eq. 12
        "js": CellDivergence(js_value, js_slope, 0.5),  # beyond the paper
    }
)
