"""The form that is compiled, run without a compiler: the same numbers as the specification's."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amad_core import amad_loss_and_grad
from amad_core.conformance.strategies import GENTLE_SCALES, AmadInputs, amad_inputs
from amad_torch.closed_form.losses import Options
from amad_torch.closed_form.sums import Maps
from amad_torch.closed_form.traced import traced_gradient, traced_losses
from tests.support.agreement import assert_agrees, assert_gradient_agrees

HALF = settings(max_examples=max(settings.default.max_examples // 2, 1))
SCALES = (*GENTLE_SCALES, 2.0**-600, 2.0**600)


@pytest.mark.parametrize("variant", ["kl", "js", "token"])
@HALF
@given(
    inputs=amad_inputs(masked=True, empty_rows=True, scales=SCALES),
    eps=st.sampled_from([2.0**-1022, 1e-3, 0.25, 1e300]),
    temperature=st.sampled_from([1.0, 0.1]),
)
def test_value_and_gradient(
    variant: str, inputs: AmadInputs, eps: float, temperature: float
) -> None:
    teacher, student = torch.tensor(inputs.teacher), torch.tensor(inputs.student)
    mask = None if inputs.mask is None else torch.tensor(inputs.mask)
    if mask is not None:
        mask = mask.expand(student.shape[0], *student.shape[2:])
    maps = Maps(teacher, student, mask, by_row=variant == "token")
    options = Options(variant, temperature, eps, False)
    losses, state = traced_losses(maps, options)
    shared: dict[str, Any] = {"variant": variant, "eps": eps, "temperature": temperature}
    wanted, gradient = amad_loss_and_grad(**inputs._asdict(), **shared, reduction="none")
    within = 1e-13 * (1 + 1 / temperature)
    heads = teacher.shape[1] * (teacher.shape[2] if variant == "token" else 1)
    assert_agrees(losses, wanted, size=heads, within=within)
    assert_gradient_agrees(
        traced_gradient(maps, options, state, torch.ones_like(losses)),
        gradient,
        student=inputs.student,
        mask=inputs.mask,
        within=within,
    )


def test_no_floor_at_all() -> None:
    """The teacher has mass where the student has none, infinite as in the specification; or little.

    A sum that the dtype does not hold is no number, rather than a wrong one.
    """
    cases = (
        (0.0, [1.0, 0.0], torch.inf), (1e-50, [1.0, 0.0], 56.87148),
        (0.0, [1.0, 3e-39], 43.65796), (1e-44, [1.0, 3e-39], 43.65796),
        (0.0, [3e38, 3e38], torch.nan),
    )  # fmt: skip
    for eps, cells, wanted in cases:
        maps = Maps(torch.tensor([[[[0.5, 0.5]]]]), torch.tensor([[[cells]]]), None, by_row=False)
        options = Options("kl", 1.0, eps, False)
        losses, state = traced_losses(maps, options)
        torch.testing.assert_close(losses, torch.tensor([wanted]), equal_nan=True)
        if math.isfinite(wanted):
            gradient = traced_gradient(maps, options, state, torch.ones_like(losses))
            assert bool(gradient.isfinite().all())
