"""How far an observation may be from what a mistake gives, and still count as reproduced."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from amad_core import amad_loss_and_grad
from amad_core.conformance.case import Case, Observation
from amad_core.conformance.tolerance import UNIT_ROUNDOFF, tolerance
from amad_core.inputs import FloatArray

SLACK = 4.0
"""Mistakes round a little differently from the specification that tolerances are derived for."""


@dataclass(frozen=True)
class Budget:
    """Relative errors that one case allows, of the value and of the gradient's largest cell."""

    value: float
    gradient: float


def budgets(cases: Sequence[Case], observations: Sequence[Observation]) -> list[Budget]:
    """The specification's tolerances of each case in the observation's dtype, made relative."""
    return [_budget(case, found.dtype) for case, found in zip(cases, observations, strict=True)]


def _budget(case: Case, dtype: str) -> Budget:
    allowed = tolerance(case, dtype if dtype in UNIT_ROUNDOFF else "float32")
    value, gradient = specification(case)
    cells = allowed.gradient[np.isfinite(allowed.gradient)]
    return Budget(
        value=SLACK * float(np.max(allowed.value) / _largest(value)),
        gradient=SLACK * float(np.max(cells, initial=0.0) / _largest(gradient)),
    )


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


def _largest(values: Any) -> float:
    finite = np.abs(values[np.isfinite(values)])
    return max(float(np.max(finite, initial=0.0)), 1e-30)


def relative_distance(found: Any, expected: Any) -> float:
    """Largest difference over the largest expected number; ``inf`` where shapes differ.

    Libraries differ in where exactly NaN and infinity come out, so places where either side has
    one are left out, provided that both sides have some.
    """
    found, expected = np.asarray(found, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    if found.size == expected.size == 1 and found.shape == expected.shape:
        return _distance_of_numbers(found.item(), expected.item())
    if found.shape != expected.shape:
        return np.inf
    finite_found, finite_expected = np.isfinite(found), np.isfinite(expected)
    if finite_found.all() != finite_expected.all():
        return np.inf
    both = finite_found & finite_expected
    if not both.any():
        return 0.0
    scale = float(np.max(np.abs(expected[both])))
    difference = float(np.max(np.abs(found[both] - expected[both])))
    return difference / scale if scale > 0 else (0.0 if difference < 1e-12 else np.inf)


def _distance_of_numbers(found: float, expected: float) -> float:
    """The same for two numbers, without arrays: this is asked ten thousands of times."""
    if not math.isfinite(found) or not math.isfinite(expected):
        return math.inf if math.isfinite(found) or math.isfinite(expected) else 0.0
    if expected == 0:
        return 0.0 if abs(found) < 1e-12 else math.inf
    return abs(found - expected) / abs(expected)
