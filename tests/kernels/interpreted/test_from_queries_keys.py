"""The loss from queries and keys by the kernels, against the specification."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from amad_torch import QueriesKeys, amad_loss_from_queries_and_keys
from amad_torch.kernels import queries_keys as kernels
from amad_torch.streaming import on_kernels
from tests.streaming.cases import Case, side
from tests.support.agreement import assert_agrees

QUERIES, KEYS = 19, 21
"""Two blocks of each, neither of them full; heads, their sizes and counts are all different."""

WITHIN = {torch.float32: (2e-6, 2e-5), torch.float16: (2e-6, 2e-3), torch.bfloat16: (2e-6, 8e-3)}
"""Of values, and of gradients, which come in the dtype of the queries."""


@pytest.fixture(autouse=True)
def two_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two programs share the keys of some queries."""
    monkeypatch.setattr(kernels, "_PARTS", 2)


def case(
    kinds: tuple[str, str], variant: str, dtype: torch.dtype = torch.float32, *, masked: bool
) -> Case:
    numbers = torch.Generator().manual_seed(1)
    keys = QUERIES if set(kinds) & {"causal", "window"} else KEYS
    shapes = (2, 5, 5, 7, QUERIES, keys), (2, 6, 3, 18, QUERIES, keys)
    teacher, student = (
        side(shape, kind, numbers, dtype, leaves=leaves)
        for shape, kind, leaves in zip(shapes, kinds, (False, True), strict=True)
    )
    student = replace(student, bias=None if student.bias is None else student.bias.detach())
    options: dict[str, Any] = {"variant": variant, "temperature": 0.5, "eps": 1e-5}
    if masked:
        options["mask"] = torch.rand(2, QUERIES, keys, generator=numbers) < 0.8
    return Case(teacher, student, options, 3)


@pytest.mark.parametrize(
    ("variant", "kinds", "dtype", "masked"),
    [
        ("mse", ("mask", "additive"), torch.float32, True),
        ("mse", ("window", "causal"), torch.float16, False),
        ("mse", ("padding", "bias"), torch.bfloat16, True),
        ("kl", ("additive", "mask"), torch.float32, True),
        ("kl", ("causal", "window"), torch.bfloat16, False),
        ("js", ("bias", "padding"), torch.float32, True),
        ("js", ("nothing", "nothing"), torch.float16, False),
    ],
)
def test_each_kind_of_attention(
    variant: str, kinds: tuple[str, str], dtype: torch.dtype, masked: bool
) -> None:
    given = case(kinds, variant, dtype, masked=masked)
    assert on_kernels.taken(given.teacher, given.student, variant)
    losses, gradients = given.streamed()
    wanted, wanted_gradients = given.specified()
    within, of_gradients = WITHIN[dtype]
    assert_agrees(losses.detach(), wanted, within=within)
    for found, expected in zip(gradients, wanted_gradients, strict=True):
        size = float(expected.abs().max())
        assert_agrees(found.double(), expected.double(), within=of_gradients, size=size)


def test_heads_whose_counted_cells_are_tiny() -> None:
    """Their squares underflow in float32: one sample is swept again, over its peaks."""
    given = case(("nothing", "nothing"), "mse", masked=False)
    bias = torch.zeros(2, 1, 1, KEYS)
    bias[1, ..., 0] = 60.0  # nearly all mass is on a key that does not count
    mask = torch.ones(2, 1, KEYS, dtype=torch.bool)
    mask[..., 0] = False
    teacher, student = (replace(one, bias=bias) for one in (given.teacher, given.student))
    options = given.options | {"mask": mask}
    losses, gradients = Case(teacher, student, options, 3).streamed()
    wanted, wanted_gradients = Case(teacher, student, options, 3).specified()
    assert_agrees(losses.detach(), wanted, within=1e-5)
    for found, expected in zip(gradients, wanted_gradients, strict=True):
        assert_agrees(found.double(), expected, within=1e-4, size=float(expected.abs().max()))


def test_a_log_sum_exp_that_the_caller_has() -> None:
    """A head padded with ``+inf``, as a tile's are, adds nothing, and not ``exp(0 - lse)``."""
    given = case(("nothing", "nothing"), "kl", masked=False)
    whole = given.teacher
    sums = ((whole.queries @ whole.keys.mT) * whole.factor).logsumexp(dim=-1)
    sums[:, 3:] = torch.inf
    told = replace(whole, log_sum_exp=sums)
    fewer = QueriesKeys(whole.queries[:, :3], whole.keys[:, :3])
    with torch.no_grad():
        found, wanted = (
            amad_loss_from_queries_and_keys(teacher=one, student=given.student, variant="kl")
            for one in (told, fewer)
        )
    assert_agrees(found, wanted, within=1e-6)


@pytest.mark.parametrize("kind", ["softcap", "sinks", "even"])
def test_what_is_left_to_torch(kind: str) -> None:
    """And is right there: no option is dropped without a word."""
    given = case((kind, "nothing"), "mse", masked=False)
    assert not on_kernels.taken(given.teacher, given.student, "mse")
    assert not on_kernels.taken(given.student, given.student, "token")
    assert_agrees(given.streamed()[0].detach(), given.specified()[0], within=2e-6)
