"""How far an observation may be from what a mistake gives, and still count as reproduced."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from amad_core import amad_loss_and_grad
from amad_core.attention.inputs import BoolArray, FloatArray, broadcast_mask
from amad_core.conformance.inputs.case import Case, Observation
from amad_core.conformance.judging.tolerance import UNIT_ROUNDOFF, tolerance

SLACK = 4.0
"""Mistakes round a little differently from the specification that tolerances are derived for."""


SMALL = 1e-3
"""What is smaller counts as of this size where distances are relative: a loss of 0 is a difference
of numbers of size 1, and what rounding leaves of it is no number to compare with."""


@dataclass(frozen=True)
class Budget:
    """Relative errors that one case allows, of the value and of the gradient's largest cell.

    Attributes:
        value, gradient: the errors.
        small_gradient: what ``SMALL`` is for a gradient, which has the size of ``1/|s_j|``.
    """

    value: float
    gradient: float
    small_gradient: float


def budgets(cases: Sequence[Case], observations: Sequence[Observation]) -> list[Budget]:
    """The specification's tolerances of each case in the observation's dtype, made relative."""
    return [_budget(case, found.dtype) for case, found in zip(cases, observations, strict=True)]


def _budget(case: Case, dtype: str) -> Budget:
    allowed = tolerance(case, dtype if dtype in UNIT_ROUNDOFF else "float32")
    value, gradient = specification(case)
    cells = allowed.gradient[np.isfinite(allowed.gradient)]
    counted = case.student[_over_heads(case)]
    small = SMALL / float(np.max(counted, initial=SMALL))
    return Budget(
        value=SLACK * float(np.max(allowed.value)) / _largest(value, SMALL),
        gradient=SLACK * float(np.max(cells, initial=0.0)) / _largest(gradient, small),
        small_gradient=small,
    )


def _over_heads(case: Case) -> BoolArray:
    """The mask, or all true, ``[B, Hs, Q, K]``."""
    valid = broadcast_mask(case.mask, case.student.shape)
    return np.broadcast_to(valid[:, np.newaxis], case.student.shape)


def specification(case: Case) -> tuple[FloatArray, FloatArray]:
    """What is right: the value, and the gradient with respect to the student."""
    return amad_loss_and_grad(
        teacher=case.teacher,
        student=case.student,
        variant=case.variant,
        temperature=case.temperature,
        reduction=case.reduction,
        mask=case.mask,
        eps=case.eps,
        weight=case.weight,
        bias=case.bias,
    )


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
