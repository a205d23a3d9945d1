"""Arrays as JSON and back: nested lists beside their shape; ``"inf"`` where JSON has no number."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amad_core.conformance.vectors.file_error import FileError


def as_json(array: NDArray[Any]) -> Any:
    """Nested lists of shortest decimals that give the same float64 back."""
    return _plain(np.asarray(array).tolist())


def shaped(array: NDArray[Any]) -> dict[str, Any]:
    """Values with their shape."""
    return {"shape": list(np.shape(array)), "values": as_json(array)}


def array_of(values: Any, shape: tuple[int, ...], path: Path, pointer: str) -> NDArray[Any]:
    """Nested lists as an array: boolean where they hold booleans, else float64.

    Raises:
        FileError: with the place where a list is longer or shorter than ``shape`` says.
    """
    _check_lengths(values, shape, path, pointer)
    return np.array(_floats(values))


def rounded_up(number: float) -> float:
    """Two significant digits, never less than ``number``."""
    if not math.isfinite(number) or number <= 0:
        return number
    # A step of 1 % of the leading digit: enough to round the decimal up wherever it was cut.
    text = f"{number:.1e}"
    return float(text) if float(text) >= number else float(f"{number * 1.05:.1e}")


def _plain(values: Any) -> Any:
    if isinstance(values, list):
        return [_plain(value) for value in values]
    if isinstance(values, float) and not math.isfinite(values):
        return str(values)
    return values


def _floats(values: Any) -> Any:
    if isinstance(values, list):
        return [_floats(value) for value in values]
    return values if isinstance(values, bool) else float(values)


def _check_lengths(values: Any, shape: tuple[int, ...], path: Path, pointer: str) -> None:
    if not shape:
        if isinstance(values, list):
            raise FileError(path, f"a number was expected, got an array of {len(values)}", pointer)
        return
    if not isinstance(values, list):
        raise FileError(path, f"an array of {shape[0]} was expected, got a number", pointer)
    if len(values) != shape[0]:
        raise FileError(path, f"{shape[0]} entries were expected, got {len(values)}", pointer)
    for index, inner in enumerate(values):
        _check_lengths(inner, shape[1:], path, f"{pointer}/{index}")
