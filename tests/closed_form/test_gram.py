"""Weights, losses and gradients from inner products alone, against the specification."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amad_core import alignment_weights, amad_loss_and_grad
from amad_core.conformance.strategies import GENTLE_SCALES, AmadInputs, amad_inputs
from amad_torch.closed_form.gram import (
    Alignment,
    alignment,
    narrowed,
    squared_distance,
    through_weights,
)
from tests.support.agreement import assert_agrees, assert_gradient_agrees

INPUTS = amad_inputs(empty_rows=True, scales=GENTLE_SCALES)
TEMPERATURES = st.sampled_from([1.0, 0.5, 0.1, 100.0])


def heads(maps: np.ndarray) -> torch.Tensor:
    return torch.tensor(maps).flatten(2)


def aligned(teacher: torch.Tensor, student: torch.Tensor, temperature: float) -> Alignment:
    squares = (heads.square().sum(dim=-1) for heads in (teacher, student))
    return alignment(teacher @ student.mT, *squares, temperature)


@given(inputs=INPUTS, temperature=TEMPERATURES)
def test_squared_distance(inputs: AmadInputs, temperature: float) -> None:
    """The whole of ``mse``, value and gradient, from Gram matrices."""
    teacher, student = heads(inputs.teacher), heads(inputs.student)
    found = aligned(teacher, student, temperature)
    losses, gradient = squared_distance(found, student @ student.mT)
    options = {"teacher": inputs.teacher, "student": inputs.student, "temperature": temperature}
    wanted, wanted_gradient = amad_loss_and_grad(**options, reduction="none")
    within = 1e-13 * (1 + 1 / temperature)
    assert_agrees(found.weights, alignment_weights(**options), within=within)
    assert_agrees(losses.sum(dim=-1), wanted, size=inputs.teacher.shape[1], within=within)
    by_student = gradient.from_teacher @ teacher + gradient.from_student @ student
    assert_gradient_agrees(
        by_student.reshape(inputs.student.shape),
        wanted_gradient,
        student=inputs.student,
        within=within,
    )


@given(inputs=INPUTS, temperature=TEMPERATURES)
def test_through_weights(inputs: AmadInputs, temperature: float) -> None:
    """A derivative by the weights reaches the heads as autograd of eq. 2 says."""
    teacher = heads(inputs.teacher)
    student = heads(inputs.student).requires_grad_()
    there = [(one.square().sum(dim=-1) > 0).unsqueeze(-1) for one in (teacher, student)]
    units = [one / one.square().sum(dim=-1, keepdim=True).where(some, 1.0).sqrt()
             for one, some in zip((teacher, student), there, strict=True)]  # fmt: skip
    weights = (units[0] @ units[1].mT / temperature).softmax(dim=-1)
    by_weight = torch.linspace(-1, 1, weights.numel(), dtype=torch.float64).view_as(weights)
    (wanted,) = torch.autograd.grad(weights, student, by_weight)
    gradient = through_weights(aligned(teacher, student.detach(), temperature), by_weight)
    found = gradient.from_teacher @ teacher + gradient.from_student.unsqueeze(-1) * student
    assert_gradient_agrees(
        found.detach().reshape(inputs.student.shape),
        wanted.where(there[1], 0.0).reshape(inputs.student.shape),
        student=inputs.student,
        within=1e-13 * (1 + 1 / temperature),
    )


@pytest.mark.parametrize("temperature", [1e-300, 1e-30, 1e300])
def test_any_temperature_gives_numbers(temperature: float) -> None:
    teacher, student = torch.rand(2, 3, 5, dtype=torch.float64), torch.rand(2, 4, 5).double()
    student[:, 1] = student[:, 0] * (1 + 1e-15)  # a draw up to rounding
    _, gradient = squared_distance(aligned(teacher, student, temperature), student @ student.mT)
    for factors in gradient:
        narrow = narrowed(factors, torch.float32, 7)
        assert torch.isfinite(narrow).all()
        assert torch.isfinite(7 * narrow).all()
