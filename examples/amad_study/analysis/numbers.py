"""How numbers are told, to readers and in JSON."""

import math
from typing import Any


def interval(low: float, high: float) -> str:
    """The ends of an interval, as tables show them."""
    return f"{number(low, '+.1f')} to {number(high, '+.1f')}"


def number(value: float | None, form: str = ".1f") -> str:
    """A number with a true minus sign; a dash where there is none."""
    return "–" if value is None else format(value, form).replace("-", "−")


def p_value(value: float) -> str:
    """Three digits, or that it is below what they tell."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def hours_and_minutes(seconds: float) -> str:
    """A time that something takes, no finer than anybody can know it."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute" if seconds > 0 else "no time"
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes / 60:.1f} h"


def about(seconds: float) -> str:
    """The same within a sentence, as the estimate that it is."""
    told = hours_and_minutes(seconds)
    return f"about {told}" if told[0].isdigit() else told


def finite(told: Any) -> Any:
    """With `None` for what JSON has no number for: an effect, or a ratio, without bound."""
    if isinstance(told, dict):
        return {key: finite(value) for key, value in told.items()}
    if isinstance(told, list | tuple):
        return [finite(value) for value in told]
    return None if isinstance(told, float) and not math.isfinite(told) else told
