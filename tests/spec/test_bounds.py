"""What the loss can be: its bounds, and where it is infinite."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amad_core import alignment_weights, amad_loss, amad_loss_and_grad
from amad_core.conformance.strategies import AmadInputs, amad_inputs
from tests.support.agreement import assert_agrees
from tests.support.variants import ALL, projection

TEMPERATURES = st.one_of(st.floats(0.05, 10), st.sampled_from([1e-300, 5e-324, 1e300]))


@given(inputs=amad_inputs(masked=True, empty_rows=True), temperature=TEMPERATURES)
def test_bounds_of_a_head(inputs: AmadInputs, temperature: float) -> None:
    teacher, student, mask = inputs
    bounds = {"mse": 2, "kl": np.inf, "token": np.inf, "js": np.log(2)}
    for head in range(teacher.shape[1]):
        for variant, most in bounds.items():
            losses = amad_loss(
                teacher=teacher[:, head : head + 1],
                student=student,
                mask=mask,
                variant=variant,
                temperature=temperature,
                reduction="none",
            )
            assert (losses >= -1e-13).all()
            assert (losses <= most + 1e-13).all()


@given(inputs=amad_inputs(masked=True, empty_rows=True), temperature=TEMPERATURES)
def test_weights_are_a_distribution(inputs: AmadInputs, temperature: float) -> None:
    weights = alignment_weights(
        teacher=inputs.teacher, student=inputs.student, mask=inputs.mask, temperature=temperature
    )
    assert (weights >= 0).all()
    assert_agrees(weights.sum(axis=-1), np.ones(weights.shape[:-1]), within=1e-14)


@given(inputs=amad_inputs(), seed=st.integers(0, 2**16))
def test_projected_is_a_divergence(inputs: AmadInputs, seed: int) -> None:
    teacher, student, _ = inputs
    learned = projection(teacher.shape[2] * teacher.shape[3], seed=seed, positive=True)
    loss = amad_loss(teacher=teacher, student=student, variant="projected", **learned)
    assert -1e-13 <= loss < np.inf


@pytest.mark.parametrize("variant", ALL)
@given(
    inputs=amad_inputs(masked=True, matching_supports=True),
    temperature=st.one_of(st.floats(0.05, 10), st.sampled_from([1e-300, 5e-324, 1e300])),
    eps=st.sampled_from([0.0, 2.2250738585072014e-308, 1e-12, 0.1]),
)
def test_everything_is_finite_with_matching_supports(
    variant: str, inputs: AmadInputs, temperature: float, eps: float
) -> None:
    """Unless a weight underflows to 0: then no mixture holds the mass that its head would bring."""
    teacher, student, mask = inputs
    learned = {}
    if variant == "projected":
        learned = projection(teacher.shape[2] * teacher.shape[3], positive=True)
    if temperature < 0.05:
        eps = max(eps, 1e-12)
    loss, gradient = amad_loss_and_grad(
        teacher=teacher,
        student=student,
        mask=mask,
        variant=variant,
        temperature=temperature,
        eps=eps,
        **learned,
    )
    assert np.isfinite(loss)
    assert not np.isnan(gradient).any()
    if variant != "js" or eps > 0:  # js without a floor: -inf where the mixture alone is empty
        assert np.isfinite(gradient).all()


@given(inputs=amad_inputs(masked=True, empty_rows=True), eps=st.sampled_from([0.0, 1e-300, 1e-6]))
def test_kl_is_infinite_where_the_teacher_alone_has_mass(inputs: AmadInputs, eps: float) -> None:
    teacher, student, mask = inputs
    losses, gradient = amad_loss_and_grad(
        teacher=teacher, student=student, mask=mask, variant="kl", reduction="none", eps=eps
    )
    held = (np.where(mask[:, np.newaxis], maps, 0.0).max(axis=1) > 0 for maps in inputs[:2])
    teacher_holds, student_holds = held
    alone = (teacher_holds & ~student_holds).any(axis=(1, 2))
    assert (np.isinf(losses) == (alone & (eps == 0))).all()
    assert not np.isnan(gradient).any()
    assert np.isfinite(gradient[~alone | (eps > 0)]).all()


@given(inputs=amad_inputs(empty_rows=True), eps=st.sampled_from([1e-12, 1e-6, 1e-3]))
def test_a_floor_moves_kl_down_and_js_by_no_more_than_itself(
    inputs: AmadInputs, eps: float
) -> None:
    teacher, student, _ = inputs
    cells = teacher.shape[2] * teacher.shape[3] * teacher.shape[1]
    options = {"teacher": teacher, "student": student}
    exact = amad_loss(variant="kl", **options)
    assert amad_loss(variant="kl", eps=eps, **options) <= exact + 1e-13
    exact = amad_loss(variant="js", **options)
    assert abs(amad_loss(variant="js", eps=eps, **options) - exact) <= eps * cells + 1e-13
