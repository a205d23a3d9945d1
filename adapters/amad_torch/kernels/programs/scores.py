"""Tiles of attention maps that are in no memory: all heads' probabilities of some queries and keys.

``p = exp(q kᵀ scale + bias - row_sums)``: with the rows' log-sum-exp at hand a tile needs no other
tile. Guarded by tests/kernels/interpreted/test_from_queries_keys.py.
"""

import triton
import triton.language as tl

from amad_torch.kernels.programs.small import product


@triton.jit
def vectors(
    values, strides, group, sample, heads, places, there, first, size,
    HEADS: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """``[HEADS, places, CHUNK]``: entries from ``first`` on; 0 where nothing is."""
    head, entry = tl.arange(0, HEADS), first + tl.arange(0, CHUNK)
    place = (head // group).to(tl.int64)[:, None, None] * strides[1]
    place += places[None, :, None] * strides[2] + entry[None, None, :]
    wanted = (head < heads)[:, None, None] & there[None, :, None]
    wanted = wanted & (entry < size)[None, None, :]
    return tl.load(values + sample * strides[0] + place, mask=wanted, other=0.0)


@triton.jit
def scores(
    side, cells, sample, rows, columns,
    WIDE: tl.constexpr, HEADS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    CHUNK: tl.constexpr,
):  # fmt: skip
    """``q kᵀ scale + bias``, ``[HEADS, ROWS, COLUMNS]``; ``-inf`` where a key is not seen."""
    head = tl.arange(0, HEADS)
    row_there, column_there = rows < cells.queries, columns < cells.keys
    found = tl.zeros((HEADS, ROWS, COLUMNS), tl.float32)
    for first in range(0, side.size, CHUNK):
        q = vectors(
            side.queries, side.query_strides, 1, sample, side.heads, rows, row_there, first,
            side.size, HEADS, CHUNK,
        )  # fmt: skip
        k = vectors(
            side.keys, side.key_strides, side.group, sample, side.heads, columns, column_there,
            first, side.size, HEADS, CHUNK,
        )  # fmt: skip
        if WIDE:
            q, k = q.to(tl.float32), k.to(tl.float32)
        found = product(q, tl.permute(k, (0, 2, 1)), found)
    found = found * side.factor
    after = (columns[None, :] - rows[:, None])[None, :, :]
    seen = (after >= -side.before) & (after <= side.after)
    seen = seen & (row_there[:, None] & column_there[None, :])[None, :, :]
    seen = seen & (head < side.heads)[:, None, None]
    if side.bias is not None:
        place = broadcast(side.bias_strides, sample, head, rows, columns)
        found += tl.load(side.bias + place, mask=seen, other=0.0).to(tl.float32)
    if side.mask is not None:
        place = broadcast(side.mask_strides, sample, head, rows, columns)
        seen = seen & (tl.load(side.mask + place, mask=seen, other=0) != 0)
    return tl.where(seen, found, float("-inf"))


@triton.jit
def probabilities(
    side, cells, sample, rows, columns,
    WIDE: tl.constexpr, HEADS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    CHUNK: tl.constexpr,
):  # fmt: skip
    """``[HEADS, ROWS, COLUMNS]``; 0 where no key is seen.

    Rows and heads beyond the last have a ``row_sums`` of ``+inf``: ``exp(0 - lse)`` of a padded
    head, whose score is 0, would add to every product.
    """
    found = scores(side, cells, sample, rows, columns, WIDE, HEADS, ROWS, COLUMNS, CHUNK)
    head = tl.arange(0, HEADS)
    place = (sample * side.heads + head[:, None]) * cells.queries + rows[None, :]
    there = (head < side.heads)[:, None] & (rows < cells.queries)[None, :]
    sums = tl.load(side.row_sums + place, mask=there, other=float("inf"))
    return tl.exp(found - sums[:, :, None])


@triton.jit
def broadcast(strides, sample, head, rows, columns):
    """Where the cells of a tile lie in what broadcasts to ``[B, H, Q, K]``."""
    place = sample * strides[0] + head.to(tl.int64)[:, None, None] * strides[1]
    return place + rows[None, :, None] * strides[2] + columns[None, None, :] * strides[3]


@triton.jit
def compared(
    heads, cells, sizes, sample, rows, columns, count,
    HEADS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """``[HEADS, ROWS * COLUMNS]`` over ``sizes`` ``[B, H]``; 0 where a cell does not count."""
    head = tl.arange(0, HEADS)
    divisor = tl.load(sizes + sample * count + head, mask=head < count, other=1.0)
    heads = tl.div_rn(heads, divisor[:, None, None] + tl.zeros_like(heads))
    if cells.mask is not None:
        keeps = kept(cells, sample, rows, columns)
        heads = tl.where(keeps[None, :, :], heads, 0.0)
    return tl.reshape(heads, (HEADS, ROWS * COLUMNS))


@triton.jit
def kept(cells, sample, rows, columns):
    """``[ROWS, COLUMNS]``: the cells that count."""
    there = (rows < cells.queries)[:, None] & (columns < cells.keys)[None, :]
    if cells.mask is not None:
        place = sample * cells.strides[0] + rows[:, None] * cells.strides[1]
        place += columns[None, :] * cells.strides[2]
        there = there & (tl.load(cells.mask + place, mask=there, other=0) != 0)
    return there
