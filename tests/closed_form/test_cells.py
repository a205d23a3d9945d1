"""Divergences of a block of cells, against the specification's cell by cell."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amad_core import VARIANTS
from amad_torch.closed_form.cells import DIVERGENCES
from tests.support.agreement import assert_agrees

FLOORS = (2.0**-1022, 1e-300, 0.01, 0.25, 1.0, 1e300)
CELLS = st.one_of(st.sampled_from([0.0, 0.25, 0.01, 1e-300, 1e-12]), st.floats(1e-6, 1.0))
PAIRS = st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=6)


@pytest.mark.parametrize("variant", DIVERGENCES)
@given(pairs=PAIRS, eps=st.sampled_from(FLOORS))
def test_value_and_slope(variant: str, pairs: list[tuple[float, float]], eps: float) -> None:
    target, mixture = np.array(pairs).T
    wanted = VARIANTS[variant].divergence
    cells, mixed = torch.tensor(target)[None], torch.tensor(mixture)[None]
    with_value, alone = (
        (cells.clone(), mixed.clone(), (torch.empty_like(cells), torch.empty_like(cells)), eps)
        for _ in range(2)
    )
    divergence = DIVERGENCES[variant]
    value, slope = divergence.value(*with_value)
    assert_agrees(value, wanted.value(target, mixture, eps)[None], within=1e-13)
    derivative = wanted.gradient(target, mixture, eps)
    assert_agrees(divergence.factor * slope[0], derivative, within=1e-13)
    assert_agrees(divergence.factor * divergence.slope(*alone)[0], derivative, within=1e-13)
    assert_agrees(with_value[0], target[None], within=0)  # what is compared stays as it is


@pytest.mark.parametrize("eps", [0.0, 5e-324, 1e-50, 1e300])
def test_floors_that_float32_cannot_hold(eps: float) -> None:
    target, mixture = torch.tensor([[0.5, 0.0, 0.5]]), torch.tensor([[0.0, 0.0, 1.0]])
    work = torch.empty_like(target), torch.empty_like(target)
    value, slope = DIVERGENCES["kl"].value(target, mixture.clone(), work, eps)
    wanted = VARIANTS["kl"].divergence.value(target.double().numpy(), mixture.double().numpy(), eps)
    assert_agrees(value, wanted, within=1e-6)
    assert_agrees(slope, [[0.0, 0.0, 0.5 if eps < 1 else 0.0]], within=0)


@pytest.mark.parametrize("variant", DIVERGENCES)
@pytest.mark.parametrize("side", [0, 1])
def test_nan_stays_nan(variant: str, side: int) -> None:
    pair = [torch.tensor([[0.5, 0.25, 0.25]]), torch.tensor([[0.25, 0.25, 0.5]])]
    pair[side][0, 1] = torch.nan
    work = torch.empty_like(pair[0]), torch.empty_like(pair[0])
    value, slope = DIVERGENCES[variant].value(*pair, work, 1e-30)
    assert torch.isnan(value).all()
    assert torch.isnan(slope[0, 1])
