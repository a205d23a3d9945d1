"""Where the loss has to equal something simpler: limits, duplicates, and one variant another."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import rel_entr

from amad_core import alignment_weights, amad_loss, amad_loss_and_grad
from amad_core.conformance.strategies import UNIT_SCALES, AmadInputs, amad_inputs
from tests.support.agreement import assert_agrees, assert_gradient_agrees
from tests.support.variants import ALL, UNPROJECTED, arguments


@given(inputs=amad_inputs(), temperature=st.floats(1.0, 1e9))
def test_hot_weights_are_equal(inputs: AmadInputs, temperature: float) -> None:
    weights = alignment_weights(
        teacher=inputs.teacher, student=inputs.student, temperature=temperature
    )
    # Cosines lie in [0, 1], so no two weights differ by more than a factor e^(1/τ).
    assert_agrees(
        weights, np.full_like(weights, 1 / weights.shape[-1]), within=np.expm1(1 / temperature)
    )


@given(inputs=amad_inputs(), variant=st.sampled_from(UNPROJECTED))
def test_hot_loss_is_the_distance_to_the_mean_head(inputs: AmadInputs, variant: str) -> None:
    maps = inputs.student / inputs.student.max(axis=(2, 3), keepdims=True)
    if variant == "token":
        mean = np.mean(maps / maps.sum(axis=3, keepdims=True), axis=1, keepdims=True)
    else:
        order = 2 if variant == "mse" else 1
        norms = np.linalg.norm(maps.reshape(*maps.shape[:2], -1), ord=order, axis=-1)
        mean = np.mean(maps / norms[..., np.newaxis, np.newaxis], axis=1, keepdims=True)
    found = amad_loss(
        teacher=inputs.teacher, student=inputs.student, variant=variant, temperature=1e14
    )
    if variant != "mse":
        wanted = amad_loss(teacher=inputs.teacher, student=mean, variant=variant)
    else:  # the mean of unit vectors is no unit vector: compare it as it is
        teacher = inputs.teacher / inputs.teacher.max(axis=(2, 3), keepdims=True)
        teacher = teacher / np.sqrt(np.sum(teacher**2, axis=(2, 3), keepdims=True))
        wanted = np.sum((teacher - mean) ** 2, axis=(1, 2, 3)).mean()
    assert_agrees(found, wanted, within=1e-12)


@given(inputs=amad_inputs(student_heads=1), temperature=st.floats(1e-300, 1e300))
def test_one_student_head_gets_all_the_weight(inputs: AmadInputs, temperature: float) -> None:
    weights = alignment_weights(
        teacher=inputs.teacher, student=inputs.student, temperature=temperature
    )
    assert (weights == 1).all()


@pytest.mark.parametrize("variant", UNPROJECTED)
@given(inputs=amad_inputs(), temperature=st.floats(1e-300, 1e300))
def test_equal_heads_everywhere_are_a_zero(
    variant: str, inputs: AmadInputs, temperature: float
) -> None:
    head = inputs.teacher[:, :1]
    heads = [np.repeat(head, count.shape[1], axis=1) for count in inputs[:2]]
    loss = amad_loss(teacher=heads[0], student=heads[1], variant=variant, temperature=temperature)
    assert_agrees(loss, 0.0, within=1e-14)


@pytest.mark.parametrize("variant", ALL)
@given(inputs=amad_inputs(masked=True), times=st.integers(2, 3))
def test_duplicating_every_student_head_changes_nothing(
    variant: str, inputs: AmadInputs, times: int
) -> None:
    options = arguments(variant, inputs.student, mask=inputs.mask, reduction="none")
    once = amad_loss_and_grad(teacher=inputs.teacher, student=inputs.student, **options)
    copies = np.concatenate([inputs.student] * times, axis=1)
    more = amad_loss_and_grad(teacher=inputs.teacher, student=copies, **options)
    assert_agrees(more[0], once[0], within=1e-12)
    # Each copy carries its share of the gradient.
    shared = np.concatenate([once[1] / times] * times, axis=1)
    assert_gradient_agrees(more[1], shared, student=copies, mask=inputs.mask, within=1e-11)


def test_duplicating_one_student_head_changes_the_loss() -> None:
    # By hand: disjoint heads, weights e/(e+1) and 1/(e+1) become e/(2e+1) twice and 1/(2e+1);
    # KL of the head without a copy: log(e+1) - 1 grows to log(2 + e) - 1.
    maps = np.eye(2).reshape(1, 2, 1, 2)
    doubled = maps[:, [0, 0, 1]]
    assert_agrees(
        amad_loss(teacher=maps[:, 1:], student=maps, variant="kl"),
        np.log(np.e + 1) - 1,
        within=1e-15,
    )
    assert_agrees(
        amad_loss(teacher=maps[:, 1:], student=doubled, variant="kl"),
        np.log(np.e + 2) - 1,
        within=1e-15,
    )


@given(inputs=amad_inputs(scales=UNIT_SCALES), temperature=st.floats(0.05, 10))
def test_kl_is_the_mean_of_row_kl_on_row_stochastic_maps(
    inputs: AmadInputs, temperature: float
) -> None:
    teacher, student, _ = inputs
    weights = alignment_weights(teacher=teacher, student=student, temperature=temperature)
    mixture = np.einsum("bij,bjqk->biqk", weights, student)
    rows = rel_entr(teacher, mixture).sum(axis=-1)  # [B, Ht, Q]
    found = amad_loss(
        teacher=teacher, student=student, variant="kl", temperature=temperature, reduction="none"
    )
    assert_agrees(found, rows.mean(axis=-1).sum(axis=-1), within=1e-12)


@given(inputs=amad_inputs(queries=1, masked=True), temperature=st.floats(0.05, 10))
def test_token_is_kl_on_one_query(inputs: AmadInputs, temperature: float) -> None:
    teacher, student, mask = inputs
    kl, token = (
        amad_loss_and_grad(
            teacher=teacher, student=student, variant=variant, temperature=temperature, mask=mask
        )
        for variant in ("kl", "token")
    )
    assert_agrees(token[0], kl[0], within=1e-13)
    assert_gradient_agrees(token[1], kl[1], student=student, mask=mask, within=1e-12)


@given(inputs=amad_inputs(), temperature=st.floats(0.05, 10))
def test_token_is_the_sum_of_kl_over_queries(inputs: AmadInputs, temperature: float) -> None:
    teacher, student, _ = inputs
    rows = [slice(query, query + 1) for query in range(teacher.shape[2])]
    found = amad_loss(teacher=teacher, student=student, variant="token", temperature=temperature)
    wanted = sum(
        amad_loss(
            teacher=teacher[:, :, row],
            student=student[:, :, row],
            variant="kl",
            temperature=temperature,
        )
        for row in rows
    )
    assert_agrees(found, wanted, within=1e-13)


@given(inputs=amad_inputs(masked=True), temperature=st.floats(0.05, 10))
def test_projected_is_kl_with_the_identity(inputs: AmadInputs, temperature: float) -> None:
    teacher, student, mask = inputs
    cells = teacher.shape[2] * teacher.shape[3]
    identity = {"weight": np.eye(cells), "bias": np.zeros(cells)}
    options = {"temperature": temperature, "mask": mask, "reduction": "none", "eps": 1e-9}
    kl = amad_loss_and_grad(teacher=teacher, student=student, variant="kl", **options)
    projected = amad_loss_and_grad(
        teacher=teacher, student=student, variant="projected", **options, **identity
    )
    assert_agrees(projected[0], kl[0], within=1e-12)
    # ReLU has derivative 0 at 0 [D6], so the gradients agree where the student holds something.
    held = np.where(student > 0, kl[1], 0.0)
    assert_gradient_agrees(
        np.where(student > 0, projected[1], 0.0), held, student=student, mask=mask, within=1e-6
    )


@given(inputs=amad_inputs(teacher_heads=2, student_heads=2), temperature=st.floats(0.05, 10))
def test_sum_over_teacher_heads(inputs: AmadInputs, temperature: float) -> None:
    """Eq. 5: the loss is the sum of the losses of the teacher heads, one by one."""
    for variant in ALL:
        options = arguments(variant, inputs.student, temperature=temperature)
        both, *single = (
            amad_loss(teacher=inputs.teacher[:, heads], student=inputs.student, **options)
            for heads in (slice(0, 2), slice(0, 1), slice(1, 2))
        )
        assert_agrees(both, sum(single), within=1e-13)
