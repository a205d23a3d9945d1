"""Schedule: a weight of the total loss that changes linearly over the steps of training.

Standard library only, so that the specification and its adapters share it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from amad_core.arguments.words import integer, real


@dataclass(frozen=True, kw_only=True)
class LinearRamp:
    """A weight that is ``start`` up to ``first_step`` and ``end`` from ``last_step`` on.

    ``start + (end - start) (step - first_step) / (last_step - first_step)`` in between; up or down.

    Args:
        start, end: weights, finite and at least 0.
        first_step, last_step: integers, the first below the last.

    Raises:
        TypeError, ValueError: anything else.

    Examples:
        >>> ramp = LinearRamp(start=0.0, end=2.0, first_step=100, last_step=200)
        >>> [ramp.weight_at(step) for step in (0, 100, 150, 200, 1000)]
        [0.0, 0.0, 1.0, 2.0, 2.0]
    """

    start: float
    end: float
    first_step: int
    last_step: int

    def __post_init__(self) -> None:
        check_weight("start", self.start)
        check_weight("end", self.end)
        for argument, step in (("first_step", self.first_step), ("last_step", self.last_step)):
            # As Python's integers: unsigned ones of a library have no differences below 0.
            object.__setattr__(self, argument, integer(argument, step))
        if self.first_step >= self.last_step:
            raise ValueError(
                f"first_step must be below last_step; got {self.first_step} and {self.last_step}"
            )

    def weight_at(self, step: int) -> float:
        """The weight at ``step``, an integer."""
        now = integer("step", step)
        if now <= self.first_step:
            return float(self.start)
        if now >= self.last_step:
            return float(self.end)
        way = (now - self.first_step) / (self.last_step - self.first_step)
        return self.start + (self.end - self.start) * way


Weight: TypeAlias = float | LinearRamp


def weight_at(weight: Weight | None, step: int | None) -> float:
    """A weight at a step; ``None`` is 1."""
    if isinstance(weight, LinearRamp):
        if step is None:
            raise ValueError("step must be given for a ramp; got None")
        return weight.weight_at(step)
    return 1.0 if weight is None else float(weight)


def check_weight(argument: str, weight: object) -> None:
    """Raise unless ``weight`` is a finite real number, zero or more."""
    if not 0 <= real(argument, weight) < math.inf:
        raise ValueError(f"{argument} must be finite and at least 0; got {weight!r}")


def check_parts(parts: Mapping[str, object], weights: Mapping[str, object], step: object) -> None:
    """Raise unless there is a part, every weight has its part, and a ramp has its step."""
    if all(part is None for part in parts.values()):
        raise ValueError(f"total_loss needs at least one of {', '.join(parts)}; got none")
    for name, weight in weights.items():
        if weight is None:
            continue
        argument = f"{name}_weight"
        if parts[name] is None:
            raise ValueError(
                f"{argument} must come with {name}; got {weight!r} and no {name}: that loss would "
                "silently be missing"
            )
        if not isinstance(weight, LinearRamp):
            check_weight(argument, weight)
        elif step is None:
            raise ValueError(f"step must be given, as {argument} is a ramp; got None")


def check_step_tensor(dtype: object, is_integer: bool, shape: Sequence[int | None]) -> None:
    """Raise unless a step that is a tensor holds one integer, whatever its axes."""
    if not is_integer:
        raise TypeError(f"step must be an integer; got dtype {dtype}")
    if any(length not in (1, None) for length in shape):
        raise ValueError(f"step must be one integer; got shape {list(shape)}")


def check_part(name: str, part: object) -> None:
    """Raise for the losses of several layers where their total is wanted."""
    if isinstance(part, tuple):
        hint = ": give its total" if hasattr(part, "total") else ""
        raise TypeError(f"{name} must be a scalar; got {type(part).__name__}{hint}")


def check_scalar(name: str, is_floating: bool, shape: Sequence[int | None], dtype: object) -> None:
    """Raise unless a part of the total is a floating-point scalar."""
    if not is_floating:
        raise TypeError(f"{name} must be a floating-point scalar; got dtype {dtype}")
    if len(shape) != 0:
        raise ValueError(
            f"{name} must be a scalar; got shape {list(shape)} (reduce losses of reduction='none')"
        )
