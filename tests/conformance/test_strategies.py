"""The strategies draw what they promise to: a test of the tests."""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from amad_core import amad_loss
from amad_core.conformance.strategies import (
    UNIT_SCALES,
    amad_inputs,
    attention_maps,
    cell_masks,
)

SEARCH = settings(
    max_examples=2000,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
    database=None,
)
SHRINK = settings(SEARCH, phases=(Phase.generate, Phase.shrink))


def heads_are_equal(inputs):
    maps = inputs.student
    return maps.shape[1] > 1 and maps[0].any() and bool((maps == maps[:, :1]).all())


def heads_are_disjoint(inputs):
    used = (inputs.student > 0).sum(axis=1)
    return inputs.student.shape[1] > 1 and bool((used == 1).all())


def one_hot(inputs):
    maps = inputs.teacher
    return maps.shape[3] > 2 and bool(((maps > 0).sum(axis=3) == 1).all())


def causal(inputs):
    maps = inputs.teacher
    above = np.triu(np.ones(maps.shape[2:], bool), 1)
    return maps.shape[2] == maps.shape[3] > 2 and not maps[..., above].any()


NASTY = {
    "one sample": lambda inputs: inputs.student.shape[0] == 1,
    "one teacher head": lambda inputs: inputs.teacher.shape[1] == 1 < inputs.student.shape[1],
    "one student head": lambda inputs: inputs.student.shape[1] == 1 < inputs.teacher.shape[1],
    "one query": lambda inputs: inputs.student.shape[2] == 1 < inputs.student.shape[3],
    "one key": lambda inputs: inputs.student.shape[3] == 1 < inputs.student.shape[2],
    "equal heads": heads_are_equal,
    "disjoint heads": heads_are_disjoint,
    "one-hot rows": one_hot,
    "causal maps": causal,
    "student is teacher": lambda inputs: (
        inputs.student.shape == inputs.teacher.shape
        and inputs.student.size > 6
        and bool((inputs.student == inputs.teacher).all())
    ),
    "subnormal numbers": lambda inputs: bool(
        ((inputs.student > 0) & (inputs.student < np.finfo(float).tiny)).any()
    ),
    "squares that overflow": lambda inputs: bool((inputs.student > 1e155).any()),
    "teacher mass where no student head has any": lambda inputs: bool(
        ((inputs.teacher > 0).any(axis=1) & ~(inputs.student > 0).any(axis=1)).any()
    ),
}


@pytest.mark.parametrize("nasty", NASTY)
def test_inputs_that_hurt_are_drawn(nasty):
    find(amad_inputs(), NASTY[nasty], settings=SEARCH)


NASTY_MASKS = {
    "a sample without any cell": lambda mask: bool((~mask.any(axis=(1, 2))).any()),
    "a fully masked row": lambda mask: bool(
        (~mask.any(axis=2) & mask.any(axis=(1, 2))[:, None]).any()
    ),
    "causal": lambda mask: (
        mask.shape[1] == mask.shape[2] > 2
        and bool((mask == np.tril(np.ones(mask.shape[1:], bool))).all())
    ),
    "padding": lambda mask: mask.shape[2] > 1 and not mask[:, :, -1].any() and mask[:, :, 0].all(),
    "samples that differ": lambda mask: len(mask) > 1 and bool((mask[0] != mask[1]).any()),
}


@pytest.mark.parametrize("nasty", NASTY_MASKS)
def test_masks_that_hurt_are_drawn(nasty):
    find(cell_masks(), NASTY_MASKS[nasty], settings=SEARCH)


@pytest.mark.parametrize("garbage", [np.isnan, np.isposinf, np.isneginf, lambda x: x == -1])
def test_garbage_lies_under_the_mask(garbage):
    find(
        amad_inputs(masked=True),
        lambda inputs: bool(garbage(inputs.student).any()),
        settings=SEARCH,
    )


@given(amad_inputs(masked=True))
def test_cells_that_count_are_attention(inputs):
    for maps in (inputs.teacher, inputs.student):
        counted = maps[np.broadcast_to(inputs.mask[:, np.newaxis], maps.shape)]
        assert np.isfinite(counted).all()
        assert (counted >= 0).all()


@given(amad_inputs(scales=UNIT_SCALES))
def test_rows_sum_to_one(inputs):
    assert np.allclose(inputs.teacher.sum(axis=3), 1)
    assert np.allclose(inputs.student.sum(axis=3), 1)


@given(amad_inputs(exact=True, scales=UNIT_SCALES))
def test_exact_maps_survive_half_precision(inputs):
    bits = inputs.student.astype(np.float32).view(np.uint32)
    assert not (bits & 0xFFFF).any(), "bfloat16 is the upper half of float32"
    assert (inputs.student.astype(np.float16) == inputs.student).all()
    assert (inputs.student.sum(axis=3) == 1).all()


@given(amad_inputs(masked=True, matching_supports=True), st.sampled_from(["kl", "token"]))
def test_matching_supports_keep_the_divergence_finite(inputs, variant):
    loss = amad_loss(
        teacher=inputs.teacher, student=inputs.student, mask=inputs.mask, variant=variant
    )
    assert np.isfinite(loss)


def test_empty_rows_are_drawn_only_where_asked_for():
    def has_empty_row(maps):
        return bool((maps.sum(axis=3) == 0).any())

    find(attention_maps(empty_rows=True), has_empty_row, settings=SEARCH)

    @settings(max_examples=100, database=None)
    @given(attention_maps())
    def never(maps):
        assert not has_empty_row(maps)

    never()


@given(attention_maps(batch=2, heads=st.integers(3, 4), queries=1, keys=7))
def test_sizes_are_those_asked_for(maps):
    assert maps.shape[0] == 2
    assert maps.shape[1] in (3, 4)
    assert maps.shape[2:] == (1, 7)


def test_exact_maps_of_many_keys_are_refused():
    with pytest.raises(ValueError, match="at most 16 keys; got 17"):
        find(attention_maps(keys=17, exact=True), lambda maps: True)


def test_maps_shrink_to_the_smallest():
    inputs = find(amad_inputs(), lambda inputs: inputs.student.shape[1] > 1, settings=SHRINK)
    assert inputs.teacher.shape == (1, 1, 1, 1)
    assert inputs.student.shape == (1, 2, 1, 1)
    assert inputs.teacher.item() == 1
