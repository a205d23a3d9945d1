"""Strips: a few rows of all heads at a time, side by side in memory that is used again.

A tile is ``[n, H, k]``: ``n`` strips of ``k`` cells, each some query rows of one sample. The heads
of maps lie megabytes apart, and cast, masked or scaled maps would be as large again; a strip has
all heads together, and is cast, masked and scaled on the way in. Sums are taken strip by strip and
added up in float64: a float32 product of heads over 10^5 cells loses digits, over a strip none.
Guarded by tests/closed_form/test_strips.py.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

_CELLS = {"cpu": 2**19}
"""Of both models in one tile, for each thread: on a CPU about what its second cache holds."""

_CELLS_ELSEWHERE = 2**26

_STRIP = 1024
"""So many cells of a head are in a strip, or one row where rows are longer."""

STRETCH = 2048
"""Products of heads over so many cells lose no more than two digits of float32: over all, four."""


class Tile(NamedTuple):
    """A range of samples and one of query rows.

    Attributes:
        rows: in a strip.
        strips: of a sample.
        all: ``n``, of all samples together.
    """

    samples: slice
    queries: slice
    rows: int
    strips: int
    all: int


def tiles(maps: Tensor, heads: int, *, by_row: bool) -> list[Tile]:
    """Tiles that together hold every cell of maps ``[B, H, Q, K]`` once.

    ``heads`` of both models; ``by_row``: a strip is one row (eq. 12).
    """
    batch, _, queries, keys = maps.shape
    on_cpu = maps.device.type == "cpu"
    cells = _CELLS["cpu"] * torch.get_num_threads() if on_cpu else _CELLS_ELSEWHERE
    budget = max(1, cells // (heads * keys))  # in rows
    rows = 1 if by_row else _rows_of_strip(queries, keys)
    whole = queries // rows * rows
    at_once = max(1, min(budget, whole) // rows) * rows
    at_once = math.ceil(whole / rows / math.ceil(whole / at_once)) * rows  # of one size, nearly
    together = max(1, budget // queries) if at_once == whole else 1
    found = []
    for first in range(0, batch, together):
        samples = slice(first, min(first + together, batch))
        starts = [(row, min(row + at_once, whole), rows) for row in range(0, whole, at_once)]
        if whole < queries:
            starts.append((whole, queries, queries - whole))
        for start, stop, of_each in starts:
            strips = (stop - start) // of_each
            count = (samples.stop - samples.start) * strips
            found.append(Tile(samples, slice(start, stop), of_each, strips, count))
    return found


def stretches(batch: int, cells: int, heads: int) -> list[tuple[slice, slice]]:
    """Ranges of samples and of cells of flat maps, which together hold every cell once."""
    together = max(1, _CELLS["cpu"] * torch.get_num_threads() // (heads * min(cells, STRETCH)))
    return [
        (slice(first, min(first + together, batch)), slice(start, min(start + STRETCH, cells)))
        for first in range(0, batch, together)
        for start in range(0, cells, STRETCH)
    ]


def _rows_of_strip(queries: int, keys: int) -> int:
    """All where maps are small; else a number that leaves no rest, if it is not too small."""
    if queries * keys <= 2 * STRETCH:
        return queries
    most = max(1, _STRIP // keys)
    without_rest = max(rows for rows in range(1, most + 1) if queries % rows == 0)
    return without_rest if without_rest * keys >= _STRIP // 8 else most


class ForStrips:
    """``[B, 1, ...]`` a sample, or ``[B, Q, ...]`` a row, for each strip of a tile: ``[n, ...]``.

    Of one sample without a copy. Kept from one tile to the next of the same samples.
    """

    def __init__(self, values: Tensor) -> None:
        self._values, self._by_row = values, values.shape[1] > 1
        self._last: tuple[object, ...] = ()
        self._found = values

    def __call__(self, tile: Tile) -> Tensor:
        if self._by_row:
            return self._values[tile.samples, tile.queries].flatten(0, 1)
        if self._last != (tile.samples, tile.strips):
            self._last = tile.samples, tile.strips
            chosen = self._values[tile.samples]
            chosen = chosen.expand(-1, tile.strips, *chosen.shape[2:])
            self._found = chosen[0] if len(chosen) == 1 else chosen.flatten(0, 1)
        return self._found


def add_strips(total: Tensor, values: Tensor, tile: Tile) -> None:
    """The inverse: ``[n, ...]`` added up in ``[B, 1, ...]``, or put into ``[B, Q, ...]``."""
    by_sample = values.view(-1, tile.strips, *values.shape[1:])
    if total.shape[1] == 1:
        total[tile.samples, 0].add_(by_sample.sum(dim=1, dtype=total.dtype))
    else:
        total[tile.samples, tile.queries].copy_(by_sample)


def fill(
    strips: Tensor,
    maps: Tensor,
    tile: Tile,
    *,
    mask: Tensor | None,
    divisor: Tensor | None,
    factor: Tensor | None,
) -> None:
    """Copy a tile of maps ``[B, H, Q, K]`` into ``strips`` ``[n, H, k]``; 0 in masked cells.

    Divided by ``divisor`` and multiplied by ``factor``, ``[n, H]``. ``mask`` is ``[B, Q, K]``.
    """
    target, source = _as_rows(strips, maps, tile), cut(maps, tile)
    if divisor is not None:
        torch.div(source, _of_heads(divisor, tile), out=target)
    elif factor is not None:
        torch.mul(source, _of_heads(factor, tile), out=target)
    else:
        target.copy_(source)
    if mask is not None:
        # Not a product: 0 * NaN is NaN.
        target.masked_fill_(~cut(mask.unsqueeze(1), tile), 0.0)
    if divisor is not None and factor is not None:
        strips.mul_(factor.unsqueeze(-1))


def put(strips: Tensor, maps: Tensor, tile: Tile, *, mask: Tensor | None) -> None:
    """Copy ``strips`` to their place in ``maps``, the inverse of :func:`fill`; 0 where masked."""
    source = _as_rows(strips, maps, tile)
    if mask is not None:
        source.masked_fill_(~cut(mask.unsqueeze(1), tile), 0.0)
    cut(maps, tile).copy_(source)


def cut(maps: Tensor, tile: Tile) -> Tensor:
    """``[b, n/b, H, rows, K]`` of maps ``[B, H, Q, K]``."""
    chosen = maps[tile.samples, :, tile.queries]
    samples, heads, _, keys = chosen.shape
    return chosen.view(samples, heads, tile.strips, tile.rows, keys).transpose(1, 2)


def _as_rows(strips: Tensor, maps: Tensor, tile: Tile) -> Tensor:
    """``[n, H, k]`` likewise."""
    return strips.view(-1, tile.strips, strips.shape[1], tile.rows, maps.shape[3])


def _of_heads(values: Tensor, tile: Tile) -> Tensor:
    """``[n, H]`` likewise."""
    return values.reshape(-1, tile.strips, values.shape[1], 1, 1)
