"""The streamed loss and its gradient are the specification's, of the maps that it never builds."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amad_torch import QueriesKeys, amad_loss, amad_loss_from_queries_and_keys
from amad_torch.streaming import rows
from amad_torch.streaming.queries_keys import attention_maps
from tests.streaming.cases import KINDS, Case, cases, side, with_log_sum_exp
from tests.support.agreement import assert_agrees

WITHIN = {torch.float64: 1e-12, torch.float32: 2e-5}
VARIANTS = ("mse", "kl", "token", "js")


def assert_is_specified(case: Case, within: float) -> None:
    (losses, gradients), (wanted, wanted_gradients) = case.streamed(), case.specified()
    assert_agrees(losses.detach(), wanted, within=within)
    for found, expected in zip(gradients, wanted_gradients, strict=True):
        # Where supports miss each other losses are of size log(tiny): so are their roundings.
        size = max(1.0, float(expected.abs().max()), float(wanted.abs().max()) ** 2)
        assert_agrees(found, expected, within=within, size=size)


@pytest.mark.parametrize("dtype", WITHIN)
@pytest.mark.parametrize("variant", VARIANTS)
@given(st.data())
def test_any_shapes_and_masks(variant: str, dtype: torch.dtype, data: st.DataObject) -> None:
    assert_is_specified(data.draw(cases(variant, dtype)), WITHIN[dtype])


@pytest.mark.thin(2)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_each_kind_of_attention(variant: str, kind: str) -> None:
    """Both models have it; five blocks of unequal length, all sizes different."""
    numbers = torch.Generator().manual_seed(1)
    shapes = (2, 5, 5, 7, 13, 13), (2, 6, 3, 4, 13, 13)
    teacher, student = (
        side(shape, kind, numbers, torch.float64, leaves=leaves)
        for shape, leaves in zip(shapes, (False, True), strict=True)
    )
    mask = torch.rand(2, 13, 13, generator=numbers) < 0.8
    options = {"variant": variant, "temperature": 0.5, "mask": mask, "eps": 1e-5}
    assert_is_specified(Case(teacher, student, options, 3), 1e-11)


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_even_row_among_rows_that_see_few_keys(variant: str) -> None:
    """It has mass on all keys, also on those that no other query of its block sees."""
    numbers = torch.Generator().manual_seed(6)
    mask = torch.ones(1, 1, 9, 9, dtype=torch.bool).tril()
    mask[..., 1, :] = False
    teacher, student = (
        replace(
            side((2, heads, heads, 3, 9, 9), "nothing", numbers, torch.float64, leaves=leaves),
            mask=mask,
            in_empty_rows=-1e4,
        )
        for heads, leaves in ((3, False), (2, True))
    )
    assert_is_specified(Case(teacher, student, {"variant": variant, "eps": 1e-5}, 3), 1e-11)


@pytest.mark.parametrize("variant", VARIANTS)
def test_rows_whose_keys_are_dropped_by_an_order_and_by_a_bias(variant: str) -> None:
    """Even over all keys without sinks, nothing with them, and no NaN in what sinks learn."""
    numbers = torch.Generator().manual_seed(7)
    teacher, student = (
        side((2, heads, heads, 3, 9, 9), kind, numbers, torch.float64, leaves=leaves)
        for heads, kind, leaves in ((3, "causal", False), (2, "sinks", True))
    )
    bias = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    bias[..., 1, :2] = bias[..., 4, :] = -torch.inf  # a causal query 1 sees two keys
    teacher = replace(teacher, bias=bias, in_empty_rows=-1e4)
    student = replace(student, bias=bias.clone().requires_grad_(), in_empty_rows=-1e4)
    assert_is_specified(Case(teacher, student, {"variant": variant, "eps": 1e-5}, 3), 1e-11)


@pytest.mark.parametrize("variant", VARIANTS)
def test_many_samples_in_a_block_and_blocks_within_a_sample(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How the cells are cut changes nothing, nor how samples are reduced."""
    numbers = torch.Generator().manual_seed(2)
    teacher, student = (
        side(shape, "causal", numbers, torch.float64, leaves=False)
        for shape in ((5, 3, 1, 4, 9, 9), (5, 2, 2, 3, 9, 9))
    )
    given = {"teacher": teacher, "student": student, "variant": variant}
    whole = amad_loss_from_queries_and_keys(**given, reduction="none")
    for heads in (rows._AT_ONCE, 2 * 3 * 9 * 9, 1):  # all heads, two or three, one
        monkeypatch.setattr(rows, "_AT_ONCE", heads)
        for at_once in (1, 4, 9, 100):
            cut = amad_loss_from_queries_and_keys(
                **given, reduction="none", queries_at_once=at_once
            )
            assert_agrees(cut, whole, within=1e-13)
    maps = {"teacher": attention_maps(teacher), "student": attention_maps(student)}
    for reduction in ("none", "sum", "mean"):
        found = amad_loss_from_queries_and_keys(**given, reduction=reduction)
        wanted = amad_loss(**maps, variant=variant, reduction=reduction)
        assert_agrees(found, wanted, within=1e-12)


@pytest.mark.parametrize("variant", VARIANTS)
def test_heads_whose_counted_cells_are_tiny(variant: str) -> None:
    """Their squares are below the smallest float32, and their products far above the largest."""
    numbers = torch.Generator().manual_seed(3)
    teacher, student = (
        side((2, heads, heads, 3, 8, 7), "nothing", numbers, torch.float32, leaves=leaves)
        for heads, leaves in ((3, False), (2, True))
    )
    bias = torch.zeros(1, 1, 1, 7)
    bias[..., 0] = 60.0  # nearly all mass is on a key that does not count
    teacher, student = (QueriesKeys(one.queries, one.keys, bias=bias) for one in (teacher, student))
    mask = torch.ones(2, 8, 7, dtype=torch.bool)
    mask[:, :, 0] = False
    options = {"variant": variant, "mask": mask, "eps": 1e-38}
    leaves = (student.queries, student.keys)
    found = amad_loss_from_queries_and_keys(
        teacher=teacher, student=student, queries_at_once=3, **options
    )
    gradients = torch.autograd.grad(found, leaves)
    maps = [attention_maps(QueriesKeys(one.queries.double(), one.keys.double(), bias=bias.double()))
            for one in (teacher, student)]  # fmt: skip
    wanted = amad_loss(teacher=maps[0], student=maps[1], **options)
    assert_agrees(found.detach(), wanted.detach(), within=1e-5)
    for one, other in zip(gradients, torch.autograd.grad(wanted, leaves), strict=True):
        assert_agrees(one, other, within=1e-4, size=float(other.abs().max()))


@pytest.mark.thin(2)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", ["nothing", "mask", "sinks"])
def test_a_log_sum_exp_that_the_caller_has(variant: str, kind: str) -> None:
    numbers = torch.Generator().manual_seed(4)
    teacher, student = (
        side((2, heads, heads, 3, 8, 7), kind, numbers, torch.float64, leaves=leaves)
        for heads, leaves in ((3, False), (2, True))
    )
    case = Case(teacher, student, {"variant": variant}, 3)
    losses, gradients = case.streamed()
    told = [with_log_sum_exp(one) for one in (teacher, student)]
    again, others = Case(told[0], told[1], {"variant": variant}, 3).streamed()
    assert_agrees(again.detach(), losses.detach(), within=1e-12)
    for one, other in zip(others, gradients, strict=True):
        assert_agrees(one, other, within=1e-11)


def test_a_head_with_an_infinite_log_sum_exp_contributes_nothing() -> None:
    """A padded head, as kernels fill a tile: its rows are 0, and not exp(0 - lse)."""
    numbers = torch.Generator().manual_seed(5)
    teacher, student = (
        side((2, heads, heads, 3, 8, 7), "nothing", numbers, torch.float64, leaves=False)
        for heads in (3, 2)
    )
    told = with_log_sum_exp(teacher)
    assert told.log_sum_exp is not None
    told.log_sum_exp[:, 2] = torch.inf
    fewer = QueriesKeys(teacher.queries[:, :2], teacher.keys[:, :2])
    for variant in ("kl",):  # of a head of zeros 0, which mse is not
        found, wanted = (
            amad_loss_from_queries_and_keys(
                teacher=one, student=student, variant=variant, queries_at_once=3
            )
            for one in (told, fewer)
        )
        assert_agrees(found, wanted, within=1e-12)
