"""The float64 specification against 50 digits: 1e-13 relative, value and gradient.

*Relative* is to the larger of the exact number and its natural size: 1 for a loss, ``1/|s_j|`` for
the gradient by head j (or its largest entry). A softmax at temperature τ magnifies the rounding of
a cosine by 1/τ, so below τ = 1 the bound is 1e-13/τ; no float64 evaluation can do better.
"""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from amad_core import amad_loss, amad_loss_and_grad
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.strategies import AmadInputs, amad_inputs
from amad_core.conformance.vectors.make.oracle import exact
from tests.support.agreement import assert_agrees, assert_gradient_agrees
from tests.support.variants import ALL, projection

WITHIN = 1e-13
SEEDS = st.integers(0, 2**16)
TEMPERATURES = st.sampled_from([1.0, 0.5, 2.0, 0.05, 100.0, 0.01])


def small(**options) -> st.SearchStrategy[AmadInputs]:
    return amad_inputs(
        batch=1,
        teacher_heads=st.integers(1, 3),
        student_heads=st.integers(1, 3),
        queries=st.integers(1, 3),
        keys=st.integers(1, 3),
        masked=True,
        **options,
    )


def learned(variant: str, inputs: AmadInputs, seed: int = 0) -> dict[str, np.ndarray]:
    """Every other seed lets the ReLU close: then cells, or the whole loss, are 0 or infinite."""
    if variant != "projected":
        return {}
    cells = inputs.teacher.shape[2] * inputs.teacher.shape[3]
    return projection(cells, seed=seed, positive=seed % 2 == 0)


def exact_gradient(call: dict[str, Any], name: str = "student") -> np.ndarray:
    """Saturating, as the specification is."""
    return np.nan_to_num(exact(Case("", **call)).gradients[name])


@pytest.mark.parametrize("variant", ALL)
@given(inputs=small(empty_rows=True), temperature=TEMPERATURES, seed=SEEDS)
def test_value(variant: str, inputs: AmadInputs, temperature: float, seed: int) -> None:
    call = {**inputs._asdict(), "variant": variant, "temperature": temperature}
    call |= learned(variant, inputs, seed)
    right = exact(Case("", **call), gradients=False).value
    assert_agrees(amad_loss(**call), right, within=WITHIN / min(temperature, 1))


@pytest.mark.parametrize("variant", ALL)
@settings(max_examples=settings.default.max_examples // 5)
@given(inputs=small(matching_supports=True), temperature=TEMPERATURES, seed=SEEDS)
def test_gradient(variant: str, inputs: AmadInputs, temperature: float, seed: int) -> None:
    call = {**inputs._asdict(), "variant": variant, "temperature": temperature}
    call |= learned(variant, inputs, seed)
    assume(np.isfinite(amad_loss(**call)))
    if variant == "js":  # -inf, or 0 by decision, where the mixture is empty: see test_values
        assume(not _mixture_is_empty(inputs))
    _, found = amad_loss_and_grad(**call)
    assert_gradient_agrees(
        found,
        exact_gradient(call),
        student=inputs.student,
        mask=inputs.mask,
        within=WITHIN / min(temperature, 1),
    )


@pytest.mark.parametrize("name", ["weight", "bias"])
@settings(max_examples=settings.default.max_examples // 5)
@given(inputs=small(), temperature=TEMPERATURES, seed=SEEDS)
def test_gradient_of_the_projection(
    name: str, inputs: AmadInputs, temperature: float, seed: int
) -> None:
    call = {**inputs._asdict(), "variant": "projected", "temperature": temperature}
    call |= learned("projected", inputs, seed)
    assume(np.isfinite(amad_loss(**call)))
    _, found = amad_loss_and_grad(**call, with_respect_to=name)
    right = exact_gradient(call, name)
    size = max(1.0, np.abs(right).max())
    assert_agrees(found, right, within=WITHIN / min(temperature, 1), size=size)


def test_gradient_through_a_closed_relu() -> None:
    """Nothing passes where ``W (1, 0) + b`` is (3, -1), nor where it is exactly (3, 0) [D6]."""

    def call(slope: float) -> dict[str, Any]:
        return {
            "teacher": np.array([[[[3.0, 4.0]]]]),
            "student": np.array([[[[1.0, 0.0]], [[0.0, 1.0]]]]),
            "variant": "projected",
            "weight": np.array([[2.0, 0.0], [slope, 3.0]]),
            "bias": np.array([1.0, 1.0]),
        }

    for name in ("student", "weight", "bias"):
        _, closed = amad_loss_and_grad(**call(-2.0), with_respect_to=name)
        assert_agrees(closed, exact_gradient(call(-2.0), name), within=1e-15)
        _, at_zero = amad_loss_and_grad(**call(-1.0), with_respect_to=name)
        if name == "student":  # the other head is open, and sees the slope
            at_zero, closed = at_zero[:, 0], closed[:, 0]
        assert_agrees(at_zero, closed, within=1e-15)


def test_many_dense_maps() -> None:
    """A larger case of each variant, of maps as a softmax makes them."""
    generator = np.random.default_rng(2)
    logits = generator.standard_normal((1, 5, 3, 4)) * 3
    maps = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    for variant in ALL:
        inputs = AmadInputs(maps[:, :2], maps[:, 2:], None)
        call = {**inputs._asdict(), "variant": variant, **learned(variant, inputs)}
        loss, gradient = amad_loss_and_grad(**call)
        right = exact_gradient(call)
        assert_agrees(loss, exact(Case("", **call)).value, within=1e-14)
        assert_gradient_agrees(gradient, right, student=inputs.student, within=1e-14)


def _mixture_is_empty(inputs: AmadInputs) -> bool:
    heads = np.where(inputs.mask[:, None], inputs.student, 1.0)
    return bool((heads.max(axis=1) == 0).any())


def test_a_mixture_smaller_than_a_step() -> None:
    """At a low temperature a cell of the mixture is 1e-36, and its derivative 1e34."""
    call = {
        "teacher": np.array([[[[0.5, 0.25, 0.25]], [[0.125, 0.5, 0.375]]]]),
        "student": np.array([[[[1.0, 0.0, 0.0]], [[0.0, 0.5, 0.5]]]]),
        "variant": "kl",
        "temperature": 0.005,
    }
    _, found = amad_loss_and_grad(**call)
    assert np.abs(found).max() > 1e30
    assert_agrees(found, exact_gradient(call), within=1e-12)
