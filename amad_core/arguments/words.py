"""The words that every refusal is made of: names, values and shapes as messages show them."""

from collections.abc import Collection, Sequence
from numbers import Real

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


def check_real(argument: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{argument} must be a real number; got {described(value)}")


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
