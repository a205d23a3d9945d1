"""The words that every refusal is made of: names, values and shapes as messages show them."""

from collections.abc import Collection, Sequence
from numbers import Real
from operator import index
from typing import Any

Shape = Sequence[int | None]
"""Of an array; ``None`` stands for a length that a graph does not know yet."""


def check_choice(argument: str, value: object, allowed: Collection[str]) -> None:
    """Raise unless ``value`` is one of the names in ``allowed``."""
    if not isinstance(value, str):
        raise TypeError(
            f"{argument} must be a string, one of {listed(allowed)}; got {described(value)}"
        )
    if value not in allowed:
        raise ValueError(f"{argument} must be one of {listed(allowed)}; got {value!r}")


def real(argument: str, value: object) -> float:
    """``value`` as a ``float``; raise unless it is a real number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{argument} must be a real number; got {described(value)}")
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError(
            f"{argument} must be finite and within the range of a float; got a "
            f"{type(value).__name__} beyond it"
        ) from error


def integer(argument: str, value: Any, meaning: str = "") -> int:
    """``value`` as an ``int``; raise unless it is an integer of 64 bits, of whichever library."""
    try:
        number = index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(f"{argument} must be an integer{meaning}; got {described(value)}")
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{argument} must be within 64 bits; got an integer beyond them")
    return number


def span(smallest: float, greatest: float) -> str:
    """From where to where values go, for a message."""
    return "NaN" if smallest != smallest else f"values from {smallest} to {greatest}"


def agree(length: int | None, other: int | None) -> bool:
    """Whether two lengths may be equal; one that is not known yet agrees with every other."""
    return length is None or other is None or length == other


def listed(names: Collection[str]) -> str:
    """Names in quotes, for a message."""
    return ", ".join(repr(name) for name in names)


def described(value: object) -> str:
    """A value and its type, for a message."""
    return f"{value!r} of type {type(value).__name__}"


def shown(shape: Shape) -> str:
    """A shape, ``?`` for what is not known yet, for a message."""
    return "[" + ", ".join("?" if length is None else str(length) for length in shape) + "]"
