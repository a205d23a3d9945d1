"""The loss of maps by the kernels, against the specification; Triton's interpreter runs them."""

from typing import Any

import numpy as np
import pytest
import torch

from amad_core import amad_loss as specification
from amad_torch import amad_loss
from amad_torch.kernels import maps as kernels
from tests.support.adapter_calls import assert_agrees_with_specification

VARIANTS = ("mse", "kl", "js", "token")
TEACHER, STUDENT = (2, 5, 4, 19), (2, 3, 4, 19)
"""Batch, heads, queries and keys: all different, and none a tile (16) or a part (32 cells)."""


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three parts a map, each of two tiles of 16 cells; two tiles a row. Which sweeps are run."""
    monkeypatch.setattr(kernels, "_VALUES", 16 * 16)
    monkeypatch.setattr(kernels, "_BLOCKS", 2)
    ran: list[str] = []
    for name in ("map_sums", "map_divergences", "map_gradient"):
        original = getattr(kernels, name)

        class Counted:
            def __init__(self, name: str, original: Any) -> None:
                self.name, self.original = name, original

            def __getitem__(self, grid: Any) -> Any:
                ran.append(self.name)
                return self.original[grid]

        monkeypatch.setattr(kernels, name, Counted(name, original))
    return ran


def drawn(seed: int, kind: str) -> dict[str, Any]:
    numbers = np.random.default_rng(seed)
    sizes = {"teacher": TEACHER, "student": STUDENT}
    scores = {name: 2 * numbers.standard_normal(size) for name, size in sizes.items()}
    found: dict[str, Any] = {name: np.exp(one) for name, one in scores.items()}
    if kind == "causal":
        found = {name: np.tril(one, k=3) for name, one in found.items()}
    found = {name: one / one.sum(axis=-1, keepdims=True) for name, one in found.items()}
    if kind == "masked":
        found["mask"] = numbers.random((2, 4, 19)) < 0.7
        found["mask"][1, 3] = False  # a row of which nothing counts
    if kind == "padded":
        found["mask"] = numbers.random((2, 1, 19)) < 0.7
    if kind == "empty head":
        found["teacher"][0, 2] = found["student"][1, 1] = 0.0
    return found


@pytest.mark.thin(2)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_public_loss(variant: str, dtype: str, small_tiles: list[str]) -> None:
    options: dict[str, Any] = {"variant": variant, "temperature": 0.3, "reduction": "none"}
    kind = {"float32": "masked", "float16": "causal", "bfloat16": "empty head"}[dtype]
    assert_agrees_with_specification("torch", dtype, **drawn(1, kind), **options)
    assert small_tiles.count("map_gradient") == 1
    assert small_tiles.count("map_sums") == 2
    assert small_tiles.count("map_divergences") == 1


@pytest.mark.thin(2)
@pytest.mark.parametrize("kind", ["causal", "empty head", "padded"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_zeros_and_masks(variant: str, kind: str) -> None:
    eps = 1e-30 if kind == "padded" else 1e-3  # of which some cells of mixtures are below
    options: dict[str, Any] = {"variant": variant, "reduction": "sum", "eps": eps}
    assert_agrees_with_specification("torch", "float32", **drawn(2, kind), **options)


@pytest.mark.parametrize("variant", VARIANTS)
def test_heads_of_any_size(variant: str) -> None:
    """Squares that underflow and overflow in float32, in one sample: it alone is swept again."""
    inputs = drawn(3, "dense")
    inputs["teacher"][0, 1] *= 1e-36
    inputs["student"][0, 2] *= 1e-30
    inputs["student"][1, 0] *= 1e25
    assert_agrees_with_specification("torch", "float32", **inputs, variant=variant)


def test_masked_cells_are_not_read() -> None:
    inputs: dict[str, Any] = {key: torch.tensor(one) for key, one in drawn(4, "masked").items()}
    inputs |= {name: inputs[name].float() for name in ("teacher", "student")}
    clean = {name: one.clone() for name, one in inputs.items()}
    for name in ("teacher", "student"):
        inputs[name].masked_fill_(~inputs["mask"].unsqueeze(1), torch.nan)
    for variant in ("mse", "js"):
        found = []
        for given in (inputs, clean):
            student = given["student"].clone().requires_grad_()
            loss = amad_loss(**given | {"student": student}, variant=variant)
            found.append((loss.detach(), *torch.autograd.grad(loss, student)))
        for one, other in zip(*found, strict=True):
            assert torch.equal(one, other)
            assert bool(one.isfinite().all())


def test_sums() -> None:
    """Of unequal dtypes, of maps that lie otherwise; padded heads and cells add nothing."""
    numbers = torch.Generator().manual_seed(5)
    teacher = torch.rand(2, 4, 19, 5, generator=numbers).permute(0, 3, 1, 2)
    student = torch.rand(*STUDENT, generator=numbers).half()
    for by_row in (False, True):
        shape = (2, 4, -1, 19) if by_row else (2, 1, -1, 76)
        one, other = (
            (maps.double().transpose(1, 2) if by_row else maps.double()).reshape(shape)
            for maps in (teacher, student)
        )
        given = {"by_row": by_row, "dtype": torch.float64}
        found = kernels.sums(teacher, student, None, gram=True, **given)
        torch.testing.assert_close(found.products, one @ other.mT, rtol=1e-6, atol=0.0)
        torch.testing.assert_close(found.gram, other @ other.mT, rtol=1e-6, atol=0.0)
        totals = kernels.sums(teacher, student, None, gram=False, **given).totals
        both = torch.cat([one, other], dim=2)
        torch.testing.assert_close(totals, both.sum(dim=-1), rtol=1e-6, atol=0.0)
        squares = both.square().sum(dim=-1)
        torch.testing.assert_close(found.squares, squares, rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("distance", [1e-2, 1e-4])
def test_near_maps(distance: float) -> None:
    """A squared distance from products of size 1 would have lost its digits in float32."""
    numbers = np.random.default_rng(6)
    head = numbers.dirichlet(np.ones(19), size=(2, 1, 4)).astype(np.float32)
    near = head * (1 + distance * numbers.uniform(-1, 1, TEACHER).astype(np.float32))
    near[1] = numbers.dirichlet(np.ones(19), size=(5, 4))
    student = np.repeat(head, 3, axis=1)
    options: dict[str, Any] = {"reduction": "none"}
    found = amad_loss(teacher=torch.tensor(near), student=torch.tensor(student), **options)
    wanted = specification(teacher=near.astype(float), student=student.astype(float), **options)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=4e-7 / distance + 1e-5)
