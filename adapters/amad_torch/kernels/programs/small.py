"""What is small in a program, heads by heads, and products."""

import triton
import triton.language as tl


@triton.jit
def of_heads(values, vector, heads, otherwise, HEADS: tl.constexpr):
    """``[HEADS, 1]`` of ``[V, heads]``, ``otherwise`` for padded heads."""
    head = tl.arange(0, HEADS)
    return tl.load(values + vector * heads + head, mask=head < heads, other=otherwise)[:, None]


@triton.jit
def matrix(values, vector, rows, columns, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """``[ROWS, COLUMNS]`` of ``[V, rows, columns]``, 0 for padded heads."""
    row, column = tl.arange(0, ROWS)[:, None], tl.arange(0, COLUMNS)[None, :]
    place = vector * rows * columns + row * columns + column
    return tl.load(values + place, mask=(row < rows) & (column < columns), other=0.0)


@triton.jit
def put_matrix(values, found, vector, rows, columns, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """The inverse of ``matrix``."""
    row, column = tl.arange(0, ROWS)[:, None], tl.arange(0, COLUMNS)[None, :]
    place = vector * rows * columns + row * columns + column
    tl.store(values + place, found, mask=(row < rows) & (column < columns))


@triton.jit
def put_heads(values, found, vector, heads, HEADS: tl.constexpr):
    """``[HEADS]`` into ``[V, heads]``."""
    head = tl.arange(0, HEADS)
    tl.store(values + vector * heads + head, found, mask=head < heads)


@triton.jit
def product(left, right, onto):
    """``onto + left right``, summed in float32; float32 factors keep all digits (no TF32)."""
    return tl.dot(left, right, onto, input_precision="ieee", out_dtype=tl.float32)
