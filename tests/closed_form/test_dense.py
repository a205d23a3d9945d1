"""Maps without a cell near 0 are taken as they are: the border of that, and its other side."""

from collections import deque
from typing import Any

import numpy as np
import pytest
import torch

from amad_core import amad_loss as specification
from amad_torch import amad_loss
from amad_torch.closed_form import losses, memory
from amad_torch.closed_form.memory import memory_like
from tests.support.adapter_calls import assert_agrees_with_specification
from tests.support.agreement import assert_agrees

DIVERGENCES = ("kl", "js", "token")


def maps(seed: int) -> dict[str, np.ndarray]:
    """Dense, and heads of other L1 norms than each other's."""
    generator = np.random.default_rng(seed)
    sizes = {"teacher": (2, 5, 7, 9), "student": (2, 3, 7, 9)}
    return {
        name: generator.uniform(0.5, 1.5, size) * generator.uniform(1, 4, (*size[:2], 1, 1))
        for name, size in sizes.items()
    }


@pytest.mark.parametrize("variant", DIVERGENCES)
@pytest.mark.parametrize("eps", [0.0, 1e-3, 4e-3, 8e-3, 0.016, 0.05, 0.1, 0.2, 0.5])
def test_a_floor_below_among_and_above_the_cells(variant: str, eps: float) -> None:
    """A cell has about 1/63 of its map, 1/9 of its row."""
    for dtype in ("float64", "float32"):
        assert_agrees_with_specification("torch", dtype, variant=variant, eps=eps, **maps(1))


@pytest.mark.parametrize("variant", DIVERGENCES)
@pytest.mark.parametrize("side", ["teacher", "student"])
def test_one_cell_of_zero(variant: str, side: str) -> None:
    inputs: dict[str, Any] = maps(2)
    inputs[side][1, 2, 3, 4] = 0.0
    assert_agrees_with_specification("torch", "float64", variant=variant, **inputs)


@pytest.mark.parametrize("variant", ["kl", "token"])
@pytest.mark.parametrize("eps", [0.0, 1e-50, 1e-44])
def test_a_mixture_above_the_floor_and_below_what_can_be_divided_by(
    variant: str, eps: float
) -> None:
    """The ratio of a cell overflows; its logarithm does not, and the gradient saturates [D10]."""
    inputs = {name: one.astype(np.float32) for name, one in maps(3).items()}
    inputs["student"][..., 0], inputs["student"][:, 1, :, 1] = 3e-39, 0.0
    teacher, student = (torch.tensor(inputs[name]) for name in ("teacher", "student"))
    found = amad_loss(teacher=teacher, student=student.requires_grad_(), variant=variant, eps=eps)
    wanted = specification(**inputs, variant=variant, eps=eps)
    assert_agrees(found.detach(), wanted, within=1e-5)  # such cells have five digits
    found.backward()
    assert student.grad is not None
    assert bool(student.grad.isfinite().all())


@pytest.mark.parametrize("variant", ["mse", *DIVERGENCES])
@pytest.mark.parametrize("scale", [2.0**-60, 2.0**60])
def test_any_scale_of_what_comes_from_above(variant: str, scale: float) -> None:
    """A large one leaves the way on which products could overflow."""
    given = {name: torch.tensor(one, dtype=torch.float32) for name, one in maps(3).items()}
    gradients = []
    for factor in (1.0, scale):
        student = given["student"].clone().requires_grad_()
        (amad_loss(teacher=given["teacher"], student=student, variant=variant) * factor).backward()
        assert student.grad is not None
        gradients.append(student.grad / factor)
    largest = float(gradients[0].abs().max())
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=1e-6 * largest)


def test_dense_rows_beside_others() -> None:
    """``vmap`` puts rows together that the forward pass met apart, some of them dense."""
    generator = np.random.default_rng(5)
    teacher, student = (torch.tensor(generator.uniform(0.5, 1.5, (40, heads, 7, 3)))
                        for heads in (3, 2))  # fmt: skip
    student[38, 1, 2, 0] = 0.0
    upstream = torch.stack([torch.ones(40), torch.linspace(-1, 1, 40)]).double()

    def pulled_back(implementation: str) -> torch.Tensor:
        def losses(student: torch.Tensor) -> torch.Tensor:
            options: dict[str, Any] = {"reduction": "none", "implementation": implementation}
            return amad_loss(teacher=teacher, student=student, variant="token", **options)

        pull = torch.func.vjp(losses, student)[1]
        found: torch.Tensor = torch.func.vmap(pull)(upstream)[0]
        return found

    found, wanted = map(pulled_back, ("fused", "plain"))
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-13)


def test_dense_maps_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the tests above would be of one way only."""
    found: list[bool] = []
    original = losses._is_dense
    monkeypatch.setattr(losses, "_is_dense", lambda *a: found.append(original(*a)) or found[-1])
    given = {name: torch.tensor(one) for name, one in maps(4).items()}
    mask = torch.ones(2, 7, 9, dtype=torch.bool)
    for options in ({}, {"eps": 0.05}, {"mask": mask}):
        amad_loss(**given, variant="kl", **options)
    given["student"][0, 0, 0, 0] = 0.0
    amad_loss(**given, variant="kl")
    assert found == [True, False, False, False]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("queries", [3, 1100])
def test_memory_of_a_gradient(dtype: torch.dtype, queries: int) -> None:
    """Large or small: contiguous, of the same shape and dtype, and writable to its end."""
    like = torch.zeros(2, 1024, queries, dtype=dtype).transpose(0, 1).unsqueeze(1)
    found = memory_like(like).fill_(2.0)
    assert (found.shape, found.dtype) == (like.shape, dtype)
    assert found.is_contiguous()
    assert bool((found == 2.0).all())


def test_memory_is_used_again_when_nobody_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not while a view lives; and no more than two pieces wait, none of them too large or small."""
    monkeypatch.setattr(memory, "_free", deque(maxlen=2))
    like = torch.zeros(2**18)
    first = memory_like(like)
    part, place = first[5:7], first.data_ptr()
    del first
    second = memory_like(like)
    assert second.data_ptr() != place
    del part
    others = [memory_like(torch.zeros(size)) for size in (2**17, 2**19)]
    assert memory_like(torch.zeros(2**18 - 2**10)).data_ptr() == place
    others += [second, memory_like(torch.zeros(2**23 + 1))]
    del second
    while others:
        del others[0]
    assert [len(one) for one in memory._free] == [2**21, 2**20]
