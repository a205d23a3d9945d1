"""Vectors of decimals, and the three divergences cell by cell."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from operator import mul
from types import MappingProxyType

Vector = list[Decimal]
Vectors = list[Vector]

ZERO, ONE = Decimal(0), Decimal(1)
INFINITE = Decimal("Infinity")

Divergence = Callable[[Decimal, Decimal, Decimal], tuple[Decimal, Decimal]]
"""``(p, m, eps)`` of one cell to its term and the derivative of the term by ``m``."""


def _squared_distance(p: Decimal, m: Decimal, eps: Decimal) -> tuple[Decimal, Decimal]:
    return (p - m) ** 2, -2 * (p - m)


def _kl_divergence(p: Decimal, m: Decimal, eps: Decimal) -> tuple[Decimal, Decimal]:
    if p == 0:
        return ZERO, ZERO
    floored = max(m, eps)
    if floored == 0:
        return INFINITE, -INFINITE
    return p * (p / floored).ln(), -p / m if m > eps else ZERO


def _jensen_shannon(p: Decimal, m: Decimal, eps: Decimal) -> tuple[Decimal, Decimal]:
    """Term and derivative; the floor is on ``m`` and ``h`` inside the logarithms."""
    half = (p + m) / 2
    if half == 0:
        return ZERO, ZERO
    from_teacher = p * (p / max(half, eps)).ln() if p > 0 else ZERO
    if max(m, eps) == 0:
        return from_teacher / 2, -INFINITE
    log_ratio = (max(m, eps) / max(half, eps)).ln()
    above = Decimal(int(m > eps) - int(half > eps))
    return (from_teacher + m * log_ratio) / 2, (log_ratio + above) / 2


DIVERGENCES = MappingProxyType[str, Divergence](
    {
        "mse": _squared_distance,
        "kl": _kl_divergence,
        "projected": _kl_divergence,
        "token": _kl_divergence,
        "js": _jensen_shannon,
    }
)


def softmax(logits: Vector) -> Vector:
    """``exp(x_j) / Σ_m exp(x_m)``."""
    largest = max(logits)
    powers = [(logit - largest).exp() for logit in logits]
    total = sum(powers, ZERO)
    return [power / total for power in powers]


def dot(left: Sequence[Decimal], right: Sequence[Decimal]) -> Decimal:
    """``<u, v>``."""
    return sum(map(mul, left, right), ZERO)


def l1_norm(head: Vector) -> Decimal:
    """``|v|_1`` of non-negative ``v``."""
    return sum(head, ZERO)


def l2_norm(head: Vector) -> Decimal:
    """``|v|_2``."""
    return dot(head, head).sqrt()


def divided(head: Vector, norm: Decimal) -> Vector:
    """``v / norm``; zeros where the norm is 0."""
    return [cell / norm for cell in head] if norm else [ZERO] * len(head)


def add_multiple(total: Vector, factor: Decimal, cells: Vector) -> None:
    """``total += factor * cells``, in place."""
    for index, cell in enumerate(cells):
        total[index] += factor * cell


def plus(left: Vector, right: Vector) -> Vector:
    """``u + v``."""
    return [a + b for a, b in zip(left, right, strict=True)]
