"""How far an answer may be from what a mistake gives, and still count as reproduced."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from amad_core.attention.inputs import BoolArray, broadcast_mask
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.judging.judgement import Judgement
from amad_core.conformance.judging.tolerance import relative_error

SLACK = 4.0
"""Mistakes round a little differently from the specification that tolerances are derived for."""

SMALL = 1e-3
"""What is smaller counts as of this size where distances are relative: a loss of 0 is a difference
of numbers of size 1, and what rounding leaves of it is no number to compare with."""

_TERMS_OF_A_FLOOR = 3.0
"""The magnitude of a loss that a floor keeps finite, over the loss: p, p log p and p log eps."""


@dataclass(frozen=True)
class RelativeTolerance:
    """Relative errors that one case allows, of the value and of the gradient's largest cell.

    Attributes:
        value, gradient: the errors.
        small_gradient: what ``SMALL`` is for a gradient, which has the size of ``1/|s_j|``.
    """

    value: float
    gradient: float
    small_gradient: float


def relative_tolerance(judgement: Judgement) -> RelativeTolerance:
    """The specification's tolerance of one case, made relative."""
    case, allowed = judgement.case, judgement.tolerance
    if not np.isfinite(np.asarray(judgement.expected.value)).all():
        error = SLACK * _TERMS_OF_A_FLOOR * relative_error(case, judgement.dtype)
        return RelativeTolerance(error, error, SMALL)
    cells = allowed.gradient[np.isfinite(allowed.gradient)]
    counted = case.student[_over_heads(case)]
    small = SMALL / float(np.max(counted, initial=SMALL))
    return RelativeTolerance(
        value=SLACK * float(np.max(allowed.value)) / _largest(judgement.expected.value, SMALL),
        gradient=SLACK
        * float(np.max(cells, initial=0.0))
        / _largest(judgement.expected.grad_student, small),
        small_gradient=small,
    )


def _over_heads(case: Case) -> BoolArray:
    """The mask, or all true, ``[B, Hs, Q, K]``."""
    valid = broadcast_mask(case.mask, case.student.shape)
    return np.broadcast_to(valid[:, np.newaxis], case.student.shape)


def _largest(values: Any, small: float) -> float:
    finite = np.abs(values[np.isfinite(values)])
    return float(np.max(finite, initial=small))


def relative_distance(found: Any, expected: Any, small: float = SMALL) -> float:
    """Largest difference over the largest expected number; ``inf`` where shapes differ.

    Numbers that are all smaller than ``small`` count as of that size.
    Libraries differ in where exactly NaN and infinity come out, so places where either side has
    one are left out, provided that both sides have some.
    """
    found, expected = np.asarray(found, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    if found.size == expected.size == 1 and found.shape == expected.shape:
        return _distance_of_numbers(found.item(), expected.item(), small)
    if found.shape != expected.shape:
        return np.inf
    finite_found, finite_expected = np.isfinite(found), np.isfinite(expected)
    if finite_found.all() != finite_expected.all():
        return np.inf
    both = finite_found & finite_expected
    if not both.any():
        return 0.0
    scale = float(np.max(np.abs(expected[both]), initial=small))
    return float(np.max(np.abs(found[both] - expected[both]))) / scale


def _distance_of_numbers(found: float, expected: float, small: float) -> float:
    """The same for two numbers, without arrays: this is asked ten thousands of times."""
    if not math.isfinite(found) or not math.isfinite(expected):
        return math.inf if math.isfinite(found) or math.isfinite(expected) else 0.0
    return abs(found - expected) / max(abs(expected), small)
