"""Gradients against finite differences in float64, for every variant and every reduction."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amad_core import amad_loss, amad_loss_and_grad
from amad_core.conformance.strategies import GENTLE_SCALES, AmadInputs, amad_inputs
from tests.support.agreement import assert_agrees
from tests.support.variants import ALL, arguments

FEWER = settings(max_examples=settings.default.max_examples // 2)
INPUTS = amad_inputs(masked=True, scales=GENTLE_SCALES)


def central_difference(
    function: Callable[[np.ndarray], np.ndarray], at: np.ndarray, along: np.ndarray
) -> float:
    """The derivative of the summed function along a direction; error of order 1e-9."""
    step = 1e-5
    return float(np.sum(function(at + step * along) - function(at - step * along)) / (2 * step))


def inside(maps: np.ndarray) -> np.ndarray:
    """No cell is near 0, where losses have kinks that a difference would step over."""
    return np.where(np.isfinite(maps) & (maps > 0), maps, 0.0) + 0.5


@pytest.mark.parametrize("variant", ALL)
@FEWER
@given(inputs=INPUTS, temperature=st.floats(0.2, 5), seed=st.integers(0, 2**16))
def test_student(variant: str, inputs: AmadInputs, temperature: float, seed: int) -> None:
    teacher, student, mask = inputs.teacher, inside(inputs.student), inputs.mask
    options = arguments(variant, student, temperature=temperature, mask=mask)
    if variant == "projected":
        options["weight"] = np.abs(options["weight"])
    along = np.random.default_rng(seed).standard_normal(student.shape)
    for reduction in ("none", "mean", "sum"):
        call = {"teacher": teacher, "reduction": reduction, **options}
        _, gradient = amad_loss_and_grad(student=student, **call)
        found = central_difference(
            lambda maps, call=call: amad_loss(student=maps, **call), student, along
        )
        assert_agrees(np.sum(gradient * along), found, within=1e-7)


@pytest.mark.parametrize("name", ["weight", "bias"])
@FEWER
@given(inputs=INPUTS, temperature=st.floats(0.2, 5), seed=st.integers(0, 2**16))
def test_projection(name: str, inputs: AmadInputs, temperature: float, seed: int) -> None:
    call = arguments("projected", inputs.student, temperature=temperature, **inputs._asdict())
    call["weight"] = np.abs(call["weight"])
    at = call.pop(name)
    along = np.random.default_rng(seed).standard_normal(at.shape)
    for reduction in ("none", "mean", "sum"):
        options = {**call, "reduction": reduction}
        _, gradient = amad_loss_and_grad(**options, **{name: at}, with_respect_to=name)
        found = central_difference(
            lambda value, options=options: amad_loss(**options, **{name: value}), at, along
        )
        assert_agrees(np.sum(gradient * along), found, within=1e-7)


@given(inputs=INPUTS, eps=st.sampled_from([0.0517, 0.1973]), seed=st.integers(0, 2**16))
def test_floor(inputs: AmadInputs, eps: float, seed: int) -> None:
    """Below the floor nothing passes through the logarithm, above it everything does."""
    teacher, student, mask = inputs.teacher, inside(inputs.student), inputs.mask
    along = np.random.default_rng(seed).standard_normal(student.shape)
    for variant in ("kl", "token", "js"):
        call = {"teacher": teacher, "mask": mask, "variant": variant, "reduction": "sum"}
        _, gradient = amad_loss_and_grad(student=student, eps=eps, **call)
        losses = [
            amad_loss(student=student + step * along, eps=eps, **call)
            for step in (-1e-5, 0.0, 1e-5)
        ]
        left, right = (losses[1] - losses[0]) / 1e-5, (losses[2] - losses[1]) / 1e-5
        if abs(left - right) > 1e-3 * (1 + abs(left)):
            continue  # a cell crosses the floor within the step
        assert_agrees(np.sum(gradient * along), (left + right) / 2, within=1e-3)
