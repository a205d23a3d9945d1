"""The closed form against the specification where it may fail: tiles, near maps, scales, layout."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from amad_core import amad_loss as specification
from amad_core.conformance.strategies import EXTREME_SCALES, AmadInputs, amad_inputs
from amad_torch import AMADLoss, amad_layers_loss, amad_loss
from amad_torch.closed_form import tiles
from tests.support.adapter_calls import assert_agrees_with_specification
from tests.support.agreement import assert_agrees
from tests.support.variants import UNPROJECTED

HALF = settings(max_examples=max(settings.default.max_examples // 2, 1))
SIZES = {"teacher": (3, 5, 11, 13), "student": (3, 4, 11, 13)}
"""Batch, heads, queries and keys: all different, and none that of a tile below."""


@pytest.fixture(params=[(700, 30), (150, 13), (2600, 1000)], ids=["rows", "row", "samples"])
def small_tiles(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """At least two tiles of these maps: of some rows and a rest, of one row, of two samples."""
    tile, strip = request.param
    monkeypatch.setitem(tiles._CELLS, "cpu", tile)
    monkeypatch.setattr(tiles, "STRIP", strip)
    heads = SIZES["teacher"][1] + SIZES["student"][1]
    student = torch.empty(SIZES["student"])
    found = min(
        len(tiles.tiling(student, heads, by_row=by_row, for_sums=for_sums).cut(student))
        for by_row in (False, True)
        for for_sums in (False, True)
    )
    assert found > 1
    return found


def drawn(seed: int, causal: bool = False) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    maps = {name: np.exp(2 * generator.standard_normal(size)) for name, size in SIZES.items()}
    if causal:
        maps = {name: np.tril(one, k=2) for name, one in maps.items()}
    return {name: one / one.sum(axis=-1, keepdims=True) for name, one in maps.items()}


@pytest.mark.parametrize("variant", UNPROJECTED)
@pytest.mark.parametrize("kind", ["dense", "causal", "masked"])
def test_several_tiles(small_tiles: int, kind: str, variant: str) -> None:
    inputs: dict[str, Any] = drawn(1, causal=kind == "causal")
    if kind == "masked":
        inputs["mask"] = np.random.default_rng(2).random((3, 11, 13)) < 0.7
        inputs["mask"][1] = False  # a sample without a cell that counts
    for dtype in ("float64", "float32", "bfloat16"):
        options = {"variant": variant, "temperature": 0.3, "reduction": "none"}
        assert_agrees_with_specification("torch", dtype, **inputs, **options)


@pytest.mark.parametrize("variant", UNPROJECTED)
@HALF
@given(inputs=amad_inputs(masked=True, empty_rows=True, scales=EXTREME_SCALES))
def test_scaled_heads_in_several_tiles(variant: str, inputs: AmadInputs) -> None:
    """Heads that are divided by their peaks first; some of a sample's are zeros."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tiles._CELLS, "cpu", 20)
        patch.setattr(tiles, "STRIP", 4)
        options = {"variant": variant, "reduction": "sum"}  # a mean is taken of what saturates
        assert_agrees_with_specification("torch", "float64", **inputs._asdict(), **options)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("distance", [1e-1, 1e-2, 1e-3, 1e-4, 0.0])
def test_near_maps_keep_their_digits(small_tiles: int, distance: float, masked: bool) -> None:
    """A squared distance of 1e-8 from products of size 1 would have none left in float32."""
    generator = np.random.default_rng(3)
    head = generator.dirichlet(np.ones(13), size=(3, 1, 11)).astype(np.float32)
    near = head * (1 + distance * generator.uniform(-1, 1, SIZES["teacher"]).astype(np.float32))
    far = generator.dirichlet(np.ones(13), size=(5, 11)).astype(np.float32)
    near[2] = far  # one sample that is not near
    student = np.repeat(head, 4, axis=1)
    options: dict[str, Any] = {"reduction": "none", "temperature": 0.05}
    if masked:
        options["mask"] = generator.random((3, 11, 13)) < 0.8
    given_ = {
        name: torch.tensor(value) if isinstance(value, np.ndarray) else value
        for name, value in options.items()
    }
    found = amad_loss(teacher=torch.tensor(near), student=torch.tensor(student), **given_)
    wanted = specification(
        teacher=near.astype(np.float64), student=student.astype(np.float64), **options
    )
    # Of each cell a rounding of its head is left, so of a distance d about u/d.
    relative = np.abs(found.numpy() - wanted) / np.maximum(wanted, 1e-13)
    assert (relative <= np.minimum(1e-5 + 4e-7 / max(distance, 1e-7), 2)).all()
    assert bool((found >= 0).all())


@pytest.mark.parametrize("variant", UNPROJECTED)
def test_maps_that_lie_otherwise(small_tiles: int, variant: str) -> None:
    """Heads last, and one head expanded to several: not contiguous."""
    inputs = {name: torch.tensor(one) for name, one in drawn(5).items()}
    heads_last = {name: one.permute(0, 2, 3, 1).contiguous() for name, one in inputs.items()}
    student = inputs["student"].clone().requires_grad_()
    wanted = amad_loss(teacher=inputs["teacher"], student=student, variant=variant)
    wanted.backward()
    moved = heads_last["student"].requires_grad_()
    found = amad_loss(
        teacher=heads_last["teacher"].permute(0, 3, 1, 2),
        student=moved.permute(0, 3, 1, 2),
        variant=variant,
    )
    found.backward()
    assert_agrees(found.detach(), wanted.detach(), within=1e-13)
    assert moved.grad is not None
    assert student.grad is not None
    assert_agrees(moved.grad.permute(0, 3, 1, 2), student.grad, within=1e-13)
    one = inputs["student"][:, :1].clone().requires_grad_()
    amad_loss(
        teacher=inputs["teacher"], student=one.expand(-1, 4, -1, -1), variant=variant
    ).backward()
    assert one.grad is not None
    assert bool(one.grad.isfinite().all())


@pytest.mark.parametrize("variant", UNPROJECTED)
def test_nothing_as_large_as_maps_is_kept(small_tiles: int, variant: str) -> None:
    """Between forward and backward: the inputs, and numbers of heads by heads."""
    inputs = {name: torch.tensor(one, dtype=torch.float32) for name, one in drawn(6).items()}
    student = inputs["student"].requires_grad_()
    kept: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        amad_loss(variant=variant, teacher=inputs["teacher"], student=student)
    own = {inputs[name].untyped_storage().data_ptr() for name in inputs}
    others = [one for one in kept if one.untyped_storage().data_ptr() not in own]
    vectors = 3 * (11 if variant == "token" else 1)
    assert len(others) < len(kept)
    assert all(one.numel() <= vectors * 4 * (5 + 5 + 4) for one in others)


@pytest.mark.thin(2)
@pytest.mark.parametrize("variant", UNPROJECTED)
@pytest.mark.parametrize("side", ["teacher", "student"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -1e-3])
def test_bad_values_are_found_in_any_tile(
    small_tiles: int, value: float, side: str, variant: str
) -> None:
    inputs = {name: torch.tensor(one) for name, one in drawn(7).items()}
    mask = torch.ones(3, 11, 13, dtype=torch.bool)
    inputs[side][2, 1, 10, 12] = value
    with pytest.raises(ValueError, match=f"{side} must .* where it counts; got"):
        amad_loss(**inputs, variant=variant, mask=mask)
    mask[2, 10, 12] = False
    assert bool(amad_loss(**inputs, variant=variant, mask=mask).isfinite())


def test_the_gradient_may_be_taken_twice_and_once_more_after_a_change() -> None:
    """``retain_graph`` gives the same again; maps that were overwritten are refused by torch."""
    inputs = {name: torch.tensor(one) for name, one in drawn(8).items()}
    student = inputs["student"].requires_grad_()
    maps = student * 1.0
    loss = amad_loss(teacher=inputs["teacher"], student=maps, variant="kl")
    first, second = (torch.autograd.grad(loss, student, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)
    with torch.no_grad():
        maps.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(loss, student)


@pytest.mark.parametrize("variant", UNPROJECTED)
def test_gradient_checkpointing(variant: str) -> None:
    from torch.utils.checkpoint import checkpoint

    inputs = {name: torch.tensor(one) for name, one in drawn(9).items()}
    gradients = []
    for wrap in (None, checkpoint):
        student = inputs["student"].clone().requires_grad_()

        def loss(student: torch.Tensor) -> torch.Tensor:
            return amad_loss(teacher=inputs["teacher"], student=student, variant=variant)

        found = loss(student) if wrap is None else wrap(loss, student, use_reentrant=False)
        found.backward()
        gradients.append(student.grad)
    assert torch.equal(*gradients)


def calls() -> dict[str, Callable[..., torch.Tensor]]:
    """Every public way to the loss that takes ``implementation``."""
    return {
        "function": amad_loss,
        "module": lambda implementation, variant="mse", **maps: AMADLoss(
            implementation=implementation, variant=variant
        )(**maps),
        "layers": lambda teacher, student, **options: (
            amad_layers_loss(teacher=[teacher], student=[student], **options).total
        ),
    }


@pytest.mark.parametrize("name", calls())
def test_what_is_asked_for_is_taken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from amad_torch.attention import loss

    taken: list[str] = []
    for form in ("_closed_form", "sample_losses"):
        original = getattr(loss, form)
        monkeypatch.setattr(
            loss,
            form,
            lambda *a, form=form, original=original: (taken.append(form), original(*a))[1],
        )
    inputs = {key: torch.tensor(one) for key, one in drawn(10).items()}
    forms = {"auto": "_closed_form", "fused": "_closed_form", "plain": "sample_losses"}
    values = {form: calls()[name](implementation=form, **inputs) for form in forms}
    assert taken == list(forms.values())
    assert_agrees(values["fused"], values["plain"], within=1e-13)
    with pytest.raises(ValueError, match="implementation must be one of 'auto', 'plain', 'fused'"):
        calls()[name](implementation="fast", **inputs)


def test_projected_has_no_closed_form() -> None:
    inputs = {key: torch.tensor(one) for key, one in drawn(10).items()}
    with pytest.raises(ValueError, match="with the variant 'projected', which has no closed form"):
        amad_loss(**inputs, variant="projected", implementation="fused")
