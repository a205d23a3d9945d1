"""Comparison of numbers in tests: every one goes through these functions, which raise.

*Relative* near 0: a loss is a difference of numbers of size 1, a gradient one of numbers of size
``1/|s_j|``; an error is therefore measured against the larger of the exact number and that size.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def relative_error(found: ArrayLike, wanted: ArrayLike, size: ArrayLike = 1.0) -> float:
    """The largest ``|found - wanted| / max(|wanted|, size)``; NaN and other infinities are inf."""
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    if found.shape != wanted.shape:
        raise AssertionError(f"shape {found.shape} where {wanted.shape} was expected")
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(found - wanted) / np.maximum(np.abs(wanted), size)
    error = np.where(found == wanted, 0.0, np.where(np.isnan(error), np.inf, error))
    return float(np.max(error, initial=0.0))


def assert_agrees(
    found: ArrayLike, wanted: ArrayLike, *, within: float, size: ArrayLike = 1.0
) -> None:
    """Raise unless shapes are equal and the relative error is at most ``within``."""
    error = relative_error(found, wanted, size)
    if not error <= within:
        raise AssertionError(
            f"relative error {error:.3g}, allowed {within:.3g}\n{found!r}\nexpected\n{wanted!r}"
        )


def head_sizes(student: ArrayLike, mask: ArrayLike | None = None) -> NDArray[Any]:
    """``|s_j|`` (its largest cell), ``[B, Hs, 1, 1]``; 1 for a head of zeros."""
    maps = np.asarray(student, np.float64)
    if mask is not None:
        maps = np.where(np.asarray(mask)[:, np.newaxis], maps, 0.0)
    largest = maps.max(axis=(2, 3), keepdims=True)
    return np.where(largest > 0, largest, 1.0)


def gradient_error(
    found: ArrayLike, wanted: ArrayLike, student: ArrayLike, mask: ArrayLike | None = None
) -> float:
    """The largest error of a head's gradient, relative to its largest entry or ``1/|s_j|``."""
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    sizes = head_sizes(student, mask)
    with np.errstate(over="ignore"):
        found, wanted = found * sizes, wanted * sizes  # of size 1, whatever the scale of the head
    size = np.maximum(1.0, np.abs(wanted).max(axis=(2, 3), keepdims=True))
    return relative_error(found, wanted, size)


def assert_gradient_agrees(
    found: ArrayLike,
    wanted: ArrayLike,
    *,
    student: ArrayLike,
    within: float,
    mask: ArrayLike | None = None,
) -> None:
    """Raise unless every head's gradient agrees relative to its own size."""
    error = gradient_error(found, wanted, student, mask)
    if not error <= within:
        raise AssertionError(
            f"relative error {error:.3g}, allowed {within:.3g}\n{found!r}\nexpected\n{wanted!r}"
        )
