"""Tiles hold every cell once, whatever the sizes, and come back to where they were."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amad_torch.closed_form import strips
from amad_torch.closed_form.strips import ForStrips, add_strips, fill, put, stretches, tiles

SIZES = st.tuples(*(st.integers(1, most) for most in (3, 4, 11, 9)))


@pytest.fixture(
    autouse=True,
    scope="module",
    params=[(2**19, 1024, 2048), (60, 20, 5)],
    ids=["large", "tiny"],
)
def cells_at_once(request: pytest.FixtureRequest) -> Iterator[None]:
    """The sizes that ship, under which these maps are one tile, and some that cut them up."""
    tile, strip, stretch = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(strips._CELLS, "cpu", tile)
        patch.setattr(strips, "_STRIP", strip)
        patch.setattr(strips, "STRETCH", stretch)
        yield


@pytest.mark.parametrize("by_row", [False, True])
@given(sizes=SIZES, masked=st.booleans())
def test_every_cell_once_and_back(by_row: bool, sizes: tuple[int, ...], masked: bool) -> None:
    maps = torch.arange(1.0, 1 + torch.Size(sizes).numel()).view(sizes)
    mask = maps[:, 0] % 3 != 0 if masked else None
    counted = maps if mask is None else maps.where(mask.unsqueeze(1), 0.0)
    back = torch.full_like(maps, -1.0)
    sums = torch.zeros(sizes[0], sizes[2] if by_row else 1, sizes[1])
    for tile in tiles(maps, sizes[1], by_row=by_row):
        cells = torch.empty(tile.all, sizes[1], tile.rows * sizes[3])
        fill(cells, maps, tile, mask=mask, divisor=None, factor=None)
        add_strips(sums, cells.sum(dim=-1), tile)
        put(cells, back, tile, mask=mask)
    wanted = counted.sum(dim=-1).mT if by_row else counted.sum(dim=(2, 3)).unsqueeze(1)
    assert torch.equal(sums, wanted)
    assert torch.equal(back, counted)


@pytest.mark.parametrize("by_row", [False, True])
@given(sizes=SIZES)
def test_small_tensors_reach_their_own_strips(by_row: bool, sizes: tuple[int, ...]) -> None:
    """Heads divided and multiplied by numbers of their own, a sample or a row."""
    batch, heads, queries, keys = sizes
    maps = torch.rand(sizes, dtype=torch.float64)
    own = torch.rand(2, batch, queries if by_row else 1, heads, dtype=torch.float64) + 0.5
    divisors, factors = (ForStrips(one) for one in own)
    found = torch.empty_like(maps)
    for tile in tiles(maps, heads, by_row=by_row):
        cells = maps.new_empty(tile.all, heads, tile.rows * keys)
        fill(cells, maps, tile, mask=None, divisor=divisors(tile), factor=factors(tile))
        put(cells, found, tile, mask=None)
    torch.testing.assert_close(found, maps * (own[1] / own[0]).mT.unsqueeze(-1))


@given(sizes=SIZES)
def test_stretches_hold_every_cell_once(sizes: tuple[int, ...]) -> None:
    batch, heads, queries, keys = sizes
    seen = torch.zeros(batch, queries * keys)
    for samples, cells in stretches(batch, queries * keys, heads):
        seen[samples, cells] += 1
    assert bool((seen == 1).all())
