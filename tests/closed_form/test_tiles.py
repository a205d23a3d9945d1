"""Tiles hold every cell once, whatever the sizes, and are views of the maps."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amad_torch.closed_form import tiles
from amad_torch.closed_form.tiles import tiling

SIZES = st.tuples(*(st.integers(1, most) for most in (3, 4, 11, 9)))


@pytest.fixture(
    autouse=True, scope="module", params=[(20 * 2**13, 2048), (60, 5)], ids=["large", "tiny"]
)
def cells_at_once(request: pytest.FixtureRequest) -> Iterator[None]:
    """The sizes that ship, under which these maps are one tile, and some that cut them up."""
    tile, strip = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tiles._CELLS, "cpu", tile)
        patch.setattr(tiles, "STRIP", strip)
        yield


@pytest.mark.parametrize("by_row", [False, True])
@pytest.mark.parametrize("for_sums", [False, True])
@given(sizes=SIZES)
def test_every_cell_once_in_its_own_place(
    by_row: bool, for_sums: bool, sizes: tuple[int, ...]
) -> None:
    """Sums of parts, and numbers of a sample or a row, reach the tile that they are of."""
    batch, heads, queries, _ = sizes
    maps = torch.arange(1.0, 1 + torch.Size(sizes).numel()).view(sizes)
    cuts = tiling(maps, heads, by_row=by_row, for_sums=for_sums)
    own = torch.rand(batch, queries if by_row else 1, heads).add(0.5)
    sums = torch.full((batch, cuts.parts, heads), torch.nan)
    scaled = torch.full_like(maps, torch.nan)
    places = zip(cuts.cut(maps), cuts.cut(scaled), cuts.of(own), cuts.of(sums), strict=True)
    for tile, target, factors, slot in places:
        assert tile.shape[:2] == factors.shape
        slot.copy_(tile.sum(dim=-1))
        target.copy_(tile * factors.unsqueeze(-1))
    assert torch.equal(scaled, maps * own.mT.unsqueeze(-1))
    wanted = maps.sum(dim=-1).mT if by_row else maps.sum(dim=(2, 3)).unsqueeze(1)
    assert torch.equal(sums if by_row else sums.sum(dim=1, keepdim=True), wanted)


@given(sizes=SIZES)
def test_no_sum_is_longer_than_two_strips(sizes: tuple[int, ...]) -> None:
    maps = torch.empty(sizes)
    cuts = tiling(maps, sizes[1], by_row=False, for_sums=True)
    assert all(tile.shape[2] <= 2 * tiles.STRIP for tile in cuts.cut(maps))
