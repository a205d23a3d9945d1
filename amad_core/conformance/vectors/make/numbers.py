"""Decimals that remember what they were computed from, so that they can be differentiated."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import count
from operator import mul
from typing import Any

from numpy.typing import NDArray

Sources = Sequence[tuple["Number", Decimal]]

INFINITE = Decimal("Infinity")
_births = count()


class Number:
    """A decimal, what it was computed from, and the derivative by each of these.

    Attributes:
        value: the decimal.
        sources: numbers it was computed from, each with the derivative of this one by it.
        adjoint: the derivative of a result by this number, once :func:`differentiate` was called.
    """

    __slots__ = ("adjoint", "birth", "sources", "value")

    def __init__(self, value: Decimal | float, sources: Sources = ()) -> None:
        self.value, self.sources, self.adjoint = Decimal(value), sources, Decimal(0)
        self.birth = next(_births)

    def __add__(self, other: "Number") -> "Number":
        return Number(self.value + other.value, ((self, Decimal(1)), (other, Decimal(1))))

    def __sub__(self, other: "Number") -> "Number":
        return Number(self.value - other.value, ((self, Decimal(1)), (other, Decimal(-1))))

    def __mul__(self, other: "Number") -> "Number":
        return Number(self.value * other.value, ((self, other.value), (other, self.value)))

    def __truediv__(self, other: "Number") -> "Number":
        quotient = self.value / other.value
        return Number(quotient, ((self, 1 / other.value), (other, -quotient / other.value)))

    def exp(self) -> "Number":
        """``e^x``."""
        power = self.value.exp()
        return Number(power, ((self, power),))

    def ln(self) -> "Number":
        """``log x``."""
        return Number(self.value.ln(), ((self, 1 / self.value),))

    def sqrt(self) -> "Number":
        """``√x``."""
        root = self.value.sqrt()
        return Number(root, ((self, 1 / (2 * root)),))


ZERO = Number(0)

Vector = Sequence[Number] | NDArray[Any]


def total(numbers: Vector) -> Number:
    """``Σ x_k``."""
    value = sum((number.value for number in numbers), Decimal(0))
    return Number(value, [(number, Decimal(1)) for number in numbers])


def dot(left: Vector, right: Vector) -> Number:
    """``Σ u_k v_k``."""
    u, v = [number.value for number in left], [number.value for number in right]
    value = sum(map(mul, u, v), Decimal(0))
    return Number(value, [*zip(left, v, strict=True), *zip(right, u, strict=True)])


def differentiate(result: Number) -> None:
    """Set the adjoint of everything that ``result`` was computed from, by the chain rule.

    An infinite derivative goes no further where it is multiplied by 0: it stays in the cell that
    it belongs to.
    """
    result.adjoint = Decimal(1)
    for number in sorted(_ancestors(result), key=lambda number: -number.birth):
        if number.adjoint:
            for source, slope in number.sources:
                if slope:
                    source.adjoint += number.adjoint * slope


def _ancestors(result: Number) -> Iterator[Number]:
    seen, waiting = {result.birth}, [result]
    while waiting:
        number = waiting.pop()
        yield number
        for source, _ in number.sources:
            if source.birth not in seen:
                seen.add(source.birth)
                waiting.append(source)
