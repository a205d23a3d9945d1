"""Which known mistakes a case exposes."""

from typing import Any

import numpy as np

from amad_core.conformance.diagnosis.mistakes import MISTAKES, Form, Mistake
from amad_core.conformance.diagnosis.mistakes.mistake import GRADIENTS, TEACHER_GRADIENT
from amad_core.conformance.diagnosis.pipeline import observe, stages_with, value_of
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.judging.tolerance import Tolerance, exceeds, tolerance
from amad_core.conformance.ports.answer import Answer

DTYPE = "float32"
"""What a flag promises holds for a port in this dtype or a wider one."""

MARGIN = 2.0
"""An exposed mistake is off by this many tolerances or more."""


def flags(case: Case, right: Answer) -> dict[str, list[str]]:
    """Names of the mistakes that a case exposes, each in the first form that the catalogue has.

    Args:
        case: the case.
        right: value and student gradient of the specification for it.

    Returns:
        ``by_value``: the value shows them; ``by_gradient``: only a gradient ever shows them, and it
        does here.
    """
    allowed = tolerance(case, DTYPE)
    exposed: dict[str, list[str]] = {"by_value": [], "by_gradient": []}
    for mistake in MISTAKES:
        form = first_form(mistake, case.variant)
        if form is None:
            continue
        stages = stages_with(form.mutation)
        try:
            if _differs(value_of(case, stages), right.value, allowed.value):
                exposed["by_value"].append(mistake.name)
            elif _only_gradients_show(mistake) and _gradient_differs(
                observe(case, stages), right, allowed
            ):
                exposed["by_gradient"].append(mistake.name)
        except (ValueError, IndexError):  # such a port crashes on these sizes
            continue
    return exposed


def first_form(mistake: Mistake, variant: str) -> Form | None:
    """The plainest executable form of a mistake in a variant; ``None`` where there is none."""
    if variant not in mistake.variants:
        return None
    return next((form for form in mistake.forms if variant in form.variants), None)


def _only_gradients_show(mistake: Mistake) -> bool:
    return mistake.found_by in (GRADIENTS, TEACHER_GRADIENT)


def _gradient_differs(found: Answer, right: Answer, allowed: Tolerance) -> bool:
    return bool(
        _differs(found.grad_student, right.grad_student, allowed.gradient)
        or np.any(found.grad_teacher)
    )


def _differs(found: Any, right: Any, allowed: Any) -> bool:
    return bool(np.any(exceeds(found, right, allowed) > MARGIN))
