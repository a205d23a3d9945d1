"""Tiles: maps cut into pieces that a cache holds, all heads of some cells or query rows together.

A tile is ``[m, H, k]``: ``k`` cells of all heads, of ``m`` samples, query rows or strips. It is a
view: what is written into one is written into the maps. Guarded by tests/closed_form/test_tiles.py.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

_CELLS = {"cpu": 20 * 2**13}
"""Of both models in one tile, for each thread: on a CPU, with what is computed from them, about
what its second cache holds."""

_CELLS_ELSEWHERE = 2**26

STRIP = 2048
"""Products of heads over so many cells lose no more than a digit and a half of float32: over all,
three. Sums over cells are taken strip by strip, and the strips added up in float64."""


class Tiling(Protocol):
    """One way to cut maps: ``parts`` of each sample, or one a query row."""

    @property
    def parts(self) -> int: ...

    def cut(self, maps: Tensor) -> list[Tensor]:
        """The tiles ``[m, H, k]`` of maps ``[B, H, Q, K]``, which hold every cell once."""

    def of(self, values: Tensor) -> list[Tensor]:
        """``[B, parts, ...]``, or ``[B, 1, ...]`` of whole samples, for each tile: ``[m, ...]``."""


class Rows(NamedTuple):
    """Some query rows of one sample: ``m`` rows of ``k = K`` cells (eq. 12)."""

    parts: int
    at_once: int

    def cut(self, maps: Tensor) -> list[Tensor]:
        return self.of(maps.transpose(1, 2))

    def of(self, values: Tensor) -> list[Tensor]:
        return [tile for sample in values.unbind() for tile in _split(sample, self.at_once)]


class Stretches(NamedTuple):
    """Some cells of the flat heads of ``m`` samples, of several where maps are small."""

    parts: int
    samples: int
    cells: int

    def cut(self, maps: Tensor) -> list[Tensor]:
        together = _split(maps.flatten(2), self.samples)
        return [tile for some in together for tile in _split(some, self.cells, dim=2)]

    def of(self, values: Tensor) -> list[Tensor]:
        each = values.expand(-1, self.parts, *values.shape[2:])
        return [tile for some in _split(each, self.samples) for tile in some.unbind(1)]


class Strips(NamedTuple):
    """Some strips of one sample: ``m`` of ``k`` cells; then the rest of some samples."""

    parts: int
    whole: int
    cells: int
    at_once: int

    def cut(self, maps: Tensor) -> list[Tensor]:
        flat, end = maps.flatten(2), self.whole * self.cells
        strips = flat[:, :, :end].view(*flat.shape[:2], self.whole, self.cells)
        return self._tiles(strips.transpose(1, 2), flat[:, :, end:])

    def of(self, values: Tensor) -> list[Tensor]:
        each = values.expand(-1, self.parts, *values.shape[2:])
        return self._tiles(each[:, : self.whole], each[:, -1])

    def _tiles(self, strips: Tensor, rest: Tensor) -> list[Tensor]:
        tiles = [tile for sample in strips.unbind() for tile in _split(sample, self.at_once)]
        return tiles if self.parts == self.whole else [*tiles, *_split(rest, self.at_once)]


def _split(values: Tensor, size: int, dim: int = 0) -> Sequence[Tensor]:
    """As ``torch.split``, which takes longer to be called than small maps to be summed up."""
    count, rest = divmod(values.shape[dim], size)
    if count == 0 or (count == 1 and rest == 0):
        return (values,)
    return values.split_with_sizes([size] * count + [rest] * (rest > 0), dim)


def tiling(maps: Tensor, heads: int, *, by_row: bool, for_sums: bool = False) -> Tiling:
    """How to cut maps ``[B, H, Q, K]``.

    Args:
        maps: those of one model.
        heads: of both models.
        by_row: a vector is a query row.
        for_sums: whether sums over cells are taken, which short strips have to themselves.
    """
    _, _, queries, keys = maps.shape
    on_cpu = maps.device.type == "cpu"
    budget = _CELLS["cpu"] * torch.get_num_threads() if on_cpu else _CELLS_ELSEWHERE
    most = max(1, budget // heads)
    if by_row:
        tiles = math.ceil(queries / max(1, most // keys))
        return Rows(queries, math.ceil(queries / tiles))
    cells = queries * keys
    if cells <= min(2 * STRIP, most):
        return Stretches(1, most // cells, cells)
    if for_sums and cells > STRIP:
        # Sums of dense maps need no memory beside them: twice as many cells, half as many calls.
        return Strips(math.ceil(cells / STRIP), cells // STRIP, STRIP, max(1, 2 * most // STRIP))
    return Stretches(math.ceil(cells / most), 1, most)
