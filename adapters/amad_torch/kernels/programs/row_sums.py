"""The log-sum-exp of every row of scores, where no caller has it."""

import triton
import triton.language as tl

from amad_torch.kernels.programs.scores import scores


@triton.jit
def row_sums(
    side, cells,
    WIDE: tl.constexpr, HEADS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    CHUNK: tl.constexpr,
):  # fmt: skip
    """``log Σ_k exp(q kᵀ scale + bias)`` over the keys a row sees, ``+inf`` where there is none.

    Block by block with a running maximum, ``Σ exp(z - new) = exp(old - new) Σ exp(z - old)``
    (Dao et al., "FlashAttention", NeurIPS 2022). Guarded by
    tests/kernels/interpreted/test_from_queries_keys.py::test_each_kind_of_attention.
    """
    blocks = tl.cdiv(cells.queries, ROWS)
    sample = tl.program_id(0).to(tl.int64) // blocks
    first = tl.program_id(0) % blocks * ROWS
    rows = first.to(tl.int64) + tl.arange(0, ROWS)
    most = tl.full((HEADS, ROWS), -1e38, tl.float32)  # finite: -inf less -inf is NaN
    total = tl.zeros((HEADS, ROWS), tl.float32)
    start = tl.maximum(first - side.before, 0) // COLUMNS * COLUMNS
    stop = tl.minimum(first + ROWS + side.after, cells.keys)
    for column in range(start, stop, COLUMNS):
        columns = column + tl.arange(0, COLUMNS).to(tl.int64)
        z = scores(side, cells, sample, rows, columns, WIDE, HEADS, ROWS, COLUMNS, CHUNK)
        highest = tl.maximum(most, tl.max(z, axis=2))
        total = total * tl.exp(most - highest) + tl.sum(tl.exp(z - highest[:, :, None]), axis=2)
        most = highest
    found = tl.where(total > 0, most + tl.log(total), float("inf"))
    head = tl.arange(0, HEADS)
    place = (sample * side.heads + head[:, None]) * cells.queries + rows[None, :]
    there = (head < side.heads)[:, None] & (rows < cells.queries)[None, :]
    tl.store(side.row_sums + place, found, mask=there)
