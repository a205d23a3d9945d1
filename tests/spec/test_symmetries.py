"""What the loss must not see: the order of heads and cells, a head's scale, its batch mates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amad_core import alignment_weights, amad_loss, amad_loss_and_grad
from amad_core.conformance.strategies import GENTLE_SCALES, AmadInputs, amad_inputs
from tests.support.agreement import assert_agrees, assert_gradient_agrees, head_sizes
from tests.support.variants import ALL, UNPROJECTED, WHOLE_MAP, arguments

INPUTS = amad_inputs(masked=True)
REPRESENTABLE = (1.0, 2.0**-500, 2.0**500)
"""Scales of which 1/scale, the size of the gradient, is a float64 too."""

SEEDS = st.integers(0, 2**16)


def order(seed: int, length: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(length)


def loss_and_gradient(inputs: AmadInputs, variant: str, **options):
    return amad_loss_and_grad(
        teacher=inputs.teacher,
        student=inputs.student,
        mask=inputs.mask,
        reduction="none",
        **arguments(variant, inputs.student, **options),
    )


@pytest.mark.parametrize("variant", ALL)
@given(inputs=INPUTS, seed=SEEDS)
def test_student_heads_may_be_permuted(variant: str, inputs: AmadInputs, seed: int) -> None:
    heads = order(seed, inputs.student.shape[1])
    loss, gradient = loss_and_gradient(inputs, variant)
    moved = inputs._replace(student=inputs.student[:, heads])
    found = loss_and_gradient(moved, variant)
    assert_agrees(found[0], loss, within=1e-13)
    assert_gradient_agrees(
        found[1], gradient[:, heads], student=moved.student, mask=moved.mask, within=1e-12
    )
    weights, moved_weights = (
        alignment_weights(teacher=case.teacher, student=case.student, mask=case.mask)
        for case in (inputs, moved)
    )
    assert_agrees(moved_weights, weights[:, :, heads], within=1e-14)


@pytest.mark.parametrize("variant", ALL)
@given(inputs=INPUTS, seed=SEEDS)
def test_teacher_heads_may_be_permuted(variant: str, inputs: AmadInputs, seed: int) -> None:
    heads = order(seed, inputs.teacher.shape[1])
    loss, gradient = loss_and_gradient(inputs, variant)
    found = loss_and_gradient(inputs._replace(teacher=inputs.teacher[:, heads]), variant)
    assert_agrees(found[0], loss, within=1e-13)
    assert_gradient_agrees(
        found[1], gradient, student=inputs.student, mask=inputs.mask, within=1e-12
    )


@pytest.mark.parametrize("variant", WHOLE_MAP)
@given(inputs=INPUTS, seed=SEEDS)
def test_cells_may_be_permuted_together(variant: str, inputs: AmadInputs, seed: int) -> None:
    shape = inputs.mask.shape
    cells = order(seed, shape[1] * shape[2])

    def moved(array: np.ndarray) -> np.ndarray:
        flat = array.reshape(*array.shape[:-2], -1)
        return flat[..., cells].reshape(array.shape)

    loss, gradient = loss_and_gradient(inputs, variant)
    shuffled = AmadInputs(*map(moved, inputs))
    found = loss_and_gradient(shuffled, variant)
    assert_agrees(found[0], loss, within=1e-13)
    assert_gradient_agrees(
        found[1], moved(gradient), student=shuffled.student, mask=shuffled.mask, within=1e-12
    )


@pytest.mark.parametrize("axis", [-2, -1], ids=["rows", "keys"])
@given(inputs=INPUTS, seed=SEEDS)
def test_rows_and_keys_may_be_permuted_in_token(axis: int, inputs: AmadInputs, seed: int) -> None:
    indices = order(seed, inputs.mask.shape[axis])
    loss, gradient = loss_and_gradient(inputs, "token")
    shuffled = AmadInputs(*(np.take(array, indices, axis=axis) for array in inputs))
    found = loss_and_gradient(shuffled, "token")
    assert_agrees(found[0], loss, within=1e-13)
    wanted = np.take(gradient, indices, axis=axis)
    assert_gradient_agrees(
        found[1], wanted, student=shuffled.student, mask=shuffled.mask, within=1e-12
    )


@pytest.mark.parametrize("variant", ALL)
@given(
    inputs=amad_inputs(masked=True, garbage=False, scales=GENTLE_SCALES),
    exponent=st.floats(-290, 290),
    data=st.data(),
)
def test_scale_of_a_head_does_not_matter(
    variant: str, inputs: AmadInputs, exponent: float, data: st.DataObject
) -> None:
    """Multiplying one teacher head and one student head changes nothing."""
    loss, gradient = loss_and_gradient(inputs, variant)
    teacher, student = inputs.teacher.copy(), inputs.student.copy()
    teacher[:, data.draw(st.integers(0, teacher.shape[1] - 1))] *= 10**-exponent
    head = data.draw(st.integers(0, student.shape[1] - 1))
    student[:, head] *= 10**exponent
    gradient[:, head] /= 10**exponent
    scaled = inputs._replace(teacher=teacher, student=student)
    found = loss_and_gradient(scaled, variant)
    assert_agrees(found[0], loss, within=1e-12)
    assert_gradient_agrees(found[1], gradient, student=student, mask=inputs.mask, within=1e-11)


@pytest.mark.parametrize("variant", ALL)
@given(
    inputs=amad_inputs(masked=True, matching_supports=True, scales=REPRESENTABLE),
    temperature=st.floats(0.05, 10),
)
def test_gradient_is_orthogonal_to_its_head(
    variant: str, inputs: AmadInputs, temperature: float
) -> None:
    """``<∂L/∂s_j, s_j> = 0``, because the scale of s_j does not matter."""
    _, gradient = loss_and_gradient(inputs, variant, temperature=temperature)
    student = np.where(inputs.mask[:, np.newaxis], inputs.student, 0.0)
    sizes = head_sizes(student)
    along = np.sum((gradient * sizes) * (student / sizes), axis=(2, 3))
    size = np.maximum(1.0, np.abs(gradient * sizes).max(axis=(2, 3)))
    assert_agrees(along, np.zeros_like(along), within=1e-11, size=size)


@pytest.mark.parametrize("variant", ALL)
@given(inputs=INPUTS, data=st.data())
def test_samples_do_not_see_each_other(
    variant: str, inputs: AmadInputs, data: st.DataObject
) -> None:
    losses, gradient = loss_and_gradient(inputs, variant)
    sample = data.draw(st.integers(0, len(losses) - 1))
    alone = AmadInputs(*(array[sample : sample + 1] for array in inputs))
    loss, own_gradient = loss_and_gradient(alone, variant)
    assert_agrees(losses[sample], loss[0], within=1e-13)
    assert_gradient_agrees(
        gradient[sample : sample + 1],
        own_gradient,
        student=alone.student,
        mask=alone.mask,
        within=1e-12,
    )


@pytest.mark.parametrize("variant", ALL)
@given(inputs=INPUTS)
def test_reductions_are_over_the_batch(variant: str, inputs: AmadInputs) -> None:
    losses, gradients = loss_and_gradient(inputs, variant)
    options = arguments(variant, inputs.student, mask=inputs.mask)
    for reduction, divisor in (("sum", 1), ("mean", len(losses))):
        found = amad_loss_and_grad(
            teacher=inputs.teacher, student=inputs.student, reduction=reduction, **options
        )
        assert_agrees(found[0], losses.sum() / divisor, within=1e-15)
        assert_gradient_agrees(
            found[1], gradients / divisor, student=inputs.student, mask=inputs.mask, within=1e-15
        )


@pytest.mark.parametrize("variant", UNPROJECTED)
@given(inputs=INPUTS)
def test_the_loss_alone_is_the_loss_with_its_gradient(variant: str, inputs: AmadInputs) -> None:
    teacher, student, mask = inputs
    found = amad_loss(teacher=teacher, student=student, mask=mask, variant=variant)
    both = amad_loss_and_grad(teacher=teacher, student=student, mask=mask, variant=variant)
    assert_agrees(found, both[0], within=0)
