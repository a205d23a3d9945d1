"""What masked cells hold never matters; a mask is the same as cells that do not exist."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from amad_core import alignment_weights, amad_loss, amad_loss_and_grad
from amad_core.conformance.strategies import AmadInputs, amad_inputs
from tests.support.agreement import assert_agrees, assert_gradient_agrees
from tests.support.variants import ALL, UNPROJECTED, arguments

GARBAGE = st.sampled_from([0.0, np.nan, np.inf, -np.inf, -1.0, 1e300, 5e-324])


def padded(array: np.ndarray, queries: int, keys: int, filling: float) -> np.ndarray:
    widths = [(0, 0)] * (array.ndim - 2) + [(0, queries), (0, keys)]
    return np.pad(array, widths, constant_values=filling)


@pytest.mark.parametrize("variant", UNPROJECTED)
@given(
    inputs=amad_inputs(masked=True),
    queries=st.integers(0, 4),
    keys=st.integers(0, 4),
    fillings=st.tuples(GARBAGE, GARBAGE),
)
def test_padding_of_any_size_and_content_changes_nothing(
    variant: str, inputs: AmadInputs, queries: int, keys: int, fillings: tuple[float, float]
) -> None:
    teacher, student, mask = inputs
    options = {"variant": variant, "reduction": "none"}
    loss, gradient = amad_loss_and_grad(teacher=teacher, student=student, mask=mask, **options)
    longer = padded(student, queries, keys, fillings[1])
    cells = padded(mask, queries, keys, False)
    found = amad_loss_and_grad(
        teacher=padded(teacher, queries, keys, fillings[0]),
        student=longer,
        mask=cells,
        **options,
    )
    assert_agrees(found[0], loss, within=1e-13)
    wanted = padded(gradient, queries, keys, 0.0)
    assert (found[1][padded(np.zeros_like(gradient), queries, keys, 1.0) == 1] == 0).all()
    assert_gradient_agrees(found[1], wanted, student=longer, mask=cells, within=1e-12)


@pytest.mark.parametrize("variant", ALL)
@given(inputs=amad_inputs(masked=True, garbage=False), fillings=st.tuples(GARBAGE, GARBAGE))
def test_what_masked_cells_hold_has_no_influence(
    variant: str, inputs: AmadInputs, fillings: tuple[float, float]
) -> None:
    """To the last bit, value and gradient; and masked cells have gradient 0."""
    teacher, student, mask = inputs
    cells = mask[:, np.newaxis]
    options = arguments(variant, student, mask=mask, reduction="none")
    loss, gradient = amad_loss_and_grad(teacher=teacher, student=student, **options)
    found = amad_loss_and_grad(
        teacher=np.where(cells, teacher, fillings[0]),
        student=np.where(cells, student, fillings[1]),
        **options,
    )
    assert_agrees(found[0], loss, within=0)
    assert_agrees(found[1], gradient, within=0)
    assert (gradient[np.broadcast_to(~cells, gradient.shape)] == 0).all()


@pytest.mark.parametrize("variant", UNPROJECTED)
@given(inputs=amad_inputs(masked=True, garbage=False))
def test_a_mask_is_zeros_in_both_maps(variant: str, inputs: AmadInputs) -> None:
    """Masked first, nothing renormalised: the value is that of maps with zeros there."""
    cells = inputs.mask[:, np.newaxis]
    teacher, student = (np.where(cells, maps, 0.0) for maps in inputs[:2])
    found = amad_loss(
        teacher=inputs.teacher, student=inputs.student, mask=inputs.mask, variant=variant
    )
    assert_agrees(found, amad_loss(teacher=teacher, student=student, variant=variant), within=0)


@pytest.mark.parametrize("variant", ALL)
@given(inputs=amad_inputs(), data=st.data())
def test_a_sample_without_a_valid_cell_contributes_nothing(
    variant: str, inputs: AmadInputs, data: st.DataObject
) -> None:
    teacher, student, _ = inputs
    mask = np.ones((len(teacher), 1, 1), dtype=bool)
    empty = data.draw(st.integers(0, len(teacher) - 1))
    mask[empty] = False
    losses, gradient = amad_loss_and_grad(
        teacher=teacher,
        student=student,
        reduction="none",
        **arguments(variant, student, mask=mask),
    )
    assert losses[empty] == 0
    assert (gradient[empty] == 0).all()


@given(inputs=amad_inputs(masked=True))
def test_fully_masked_rows_contribute_nothing_to_token(inputs: AmadInputs) -> None:
    teacher, student, mask = inputs
    found = amad_loss(
        teacher=teacher, student=student, mask=mask, variant="token", reduction="none"
    )
    for sample, kept in enumerate(mask.any(axis=-1)):
        rows = slice(sample, sample + 1)
        wanted = (
            amad_loss(
                teacher=teacher[rows, :, kept],
                student=student[rows, :, kept],
                mask=mask[rows, kept],
                variant="token",
            )
            if kept.any()
            else 0.0
        )
        assert_agrees(found[sample], wanted, within=1e-14)


@pytest.mark.parametrize("shape", ["B11", "BQ1", "1QK", "QK", "K", ""])
@given(inputs=amad_inputs(), seed=st.integers(0, 2**16))
def test_masks_broadcast(shape: str, inputs: AmadInputs, seed: int) -> None:
    teacher, student, _ = inputs
    batch, _, queries, keys = teacher.shape
    lengths = {"B": batch, "Q": queries, "K": keys, "1": 1}
    assume(len(shape) in (0, 3) or lengths[shape[0]] != batch)  # else it is refused
    mask = np.random.default_rng(seed).random([lengths[axis] for axis in shape]) < 0.7
    full = np.broadcast_to(mask, (batch, queries, keys))
    for variant in ALL:
        options = arguments(variant, student)
        assert_agrees(
            amad_loss(teacher=teacher, student=student, mask=mask, **options),
            amad_loss(teacher=teacher, student=student, mask=full, **options),
            within=0,
        )
    assert_agrees(
        alignment_weights(teacher=teacher, student=student, mask=mask),
        alignment_weights(teacher=teacher, student=student, mask=full),
        within=0,
    )


@given(inputs=amad_inputs())
def test_projected_cells_that_are_masked_are_out(inputs: AmadInputs) -> None:
    """The bias would fill them: a masked cell is out after the projection too."""
    teacher, student, _ = inputs
    batch, _, queries, keys = teacher.shape
    cells = queries * keys
    mask = np.ones((batch, queries, keys), dtype=bool)
    mask[:, :, -1] = False
    kept = mask[0].ravel()
    options = arguments("projected", student)
    weight, bias = options.pop("weight"), options.pop("bias")
    assume(kept.any())
    found = amad_loss(
        teacher=teacher, student=student, mask=mask, weight=weight, bias=bias, **options
    )
    smaller = {"weight": weight[np.ix_(kept, kept)], "bias": bias[kept]}
    columns = [maps.reshape(*maps.shape[:2], 1, cells)[..., kept] for maps in (teacher, student)]
    wanted = amad_loss(teacher=columns[0], student=columns[1], **options, **smaller)
    assert_agrees(found, wanted, within=1e-12)
