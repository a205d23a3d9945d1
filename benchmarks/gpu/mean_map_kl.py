"""A peer: the KL of mean maps from queries and keys, as those train who have no aligned heads.

``1/r Σ_q KL(1/Ht Σ_i t_iq ‖ 1/Hs Σ_j s_jq)``, what the indexers of sparse attention learn, written
as the library's kernels are: a tile of queries and keys has all heads, rows' log-sum-exps come
first, probabilities are made, used, dropped, and made again for the gradient. It needs neither
products of heads nor weights: what is left is the price of alignment.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
# (Triton's language has no types)

import math
from functools import partial
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from amad_torch import QueriesKeys
from amad_torch.kernels import queries_keys as kernels
from amad_torch.kernels.programs.scores import probabilities, vectors
from amad_torch.kernels.programs.sides import Cells, Side
from amad_torch.kernels.programs.small import product
from amad_torch.kernels.tiles import padded

_ROWS, _COLUMNS, _PARTS = 16, 16, 4
_CHUNKS = {2: 64, 4: 16}


def mean_map_kl(teacher: QueriesKeys, student: QueriesKeys) -> tuple[Tensor, Tensor, Tensor]:
    """The loss, a mean over rows, and its gradients for the student's queries and keys."""
    tokens = teacher.queries.shape[2]
    both = [
        kernels.side(
            one.queries.detach(), one.keys.detach(), factor=one.factor, mask=None, bias=None,
            reach=(tokens, tokens), row_sums=None,
        )
        for one in (teacher, student)
    ]  # fmt: skip
    cells = Cells(None, (0, 0, 0), tokens, tokens, tokens, tokens)
    flags = _flags(*both)
    batch, heads, _, size = student.queries.shape
    blocks = math.ceil(tokens / _ROWS)
    new = partial(torch.empty, dtype=torch.float32, device=student.queries.device)
    values = new(batch * blocks * _PARTS)
    mean_divergences[(len(values),)](*both, cells, values, _PARTS, **flags)
    rows = new((batch, heads, tokens))
    gradients = [new((batch, heads, tokens, size)) for _ in "qk"]
    scale = 1 / (batch * tokens * heads)
    for program, gradient in zip((query_gradients, key_gradients), gradients, strict=True):
        program[(batch * blocks,)](*both, cells, rows, gradient, scale, SIZE=padded(size), **flags)
    of_keys = gradients[1].view(batch, -1, both[1].group, tokens, size).sum(dim=2)
    return values.sum() / (batch * tokens), gradients[0], of_keys


def _flags(teacher: Side, student: Side) -> dict[str, Any]:
    most = _CHUNKS[max(one.queries.element_size() for one in (teacher, student))]
    return {
        "TEACHERS": padded(teacher.heads), "STUDENTS": padded(student.heads), "ROWS": _ROWS,
        "COLUMNS": _COLUMNS, "CHUNK": min(most, padded(teacher.size), padded(student.size)),
    }  # fmt: skip


@triton.jit
def mean_tiles(
    teacher, student, cells, sample, rows, columns,
    TEACHERS: tl.constexpr, STUDENTS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    CHUNK: tl.constexpr,
):  # fmt: skip
    """Mean maps of a tile, ``[ROWS, COLUMNS]``, and the student's heads."""
    t = probabilities(teacher, cells, sample, rows, columns, False, TEACHERS, ROWS, COLUMNS, CHUNK)
    s = probabilities(student, cells, sample, rows, columns, False, STUDENTS, ROWS, COLUMNS, CHUNK)
    return tl.sum(t, axis=0) / teacher.heads, tl.sum(s, axis=0) / student.heads, s


@triton.jit
def mean_divergences(
    teacher, student, cells, values, parts,
    TEACHERS: tl.constexpr, STUDENTS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    CHUNK: tl.constexpr,
):  # fmt: skip
    """``Σ t log(t/s)`` of mean maps over some rows and a part of their keys."""
    program = tl.program_id(0).to(tl.int64)
    each = tl.cdiv(cells.queries, ROWS) * parts
    sample, part = program // each, program % parts
    rows = (program % each) // parts * ROWS + tl.arange(0, ROWS)
    found = tl.zeros((ROWS, COLUMNS), tl.float32)
    for block in range(part, tl.cdiv(cells.keys, COLUMNS), parts):
        columns = block * COLUMNS + tl.arange(0, COLUMNS)
        t, s, _ = mean_tiles(
            teacher, student, cells, sample, rows, columns, TEACHERS, STUDENTS, ROWS, COLUMNS, CHUNK
        )
        both = (t > 0) & (s > 0)
        found += tl.where(
            both, t * (tl.log(tl.where(both, t, 1.0)) - tl.log(tl.where(both, s, 1.0))), 0.0
        )
    tl.store(values + program, tl.sum(tl.sum(found, axis=1), axis=0))


@triton.jit
def slope_of(t, s, scale):
    """By any head's cell: ``-t/s``, of mean maps, times ``scale``."""
    return tl.where(s > 0, -scale * t / tl.where(s > 0, s, 1.0), 0.0)


@triton.jit
def query_gradients(
    teacher, student, cells, means, gradient, scale,
    TEACHERS: tl.constexpr, STUDENTS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    CHUNK: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    """``<s, ds>`` of some rows, and ``dq``: twice over the keys, as in the library."""
    blocks = tl.cdiv(cells.queries, ROWS)
    sample = tl.program_id(0).to(tl.int64) // blocks
    rows = tl.program_id(0).to(tl.int64) % blocks * ROWS + tl.arange(0, ROWS)
    stop = tl.cdiv(cells.keys, COLUMNS)
    mean = tl.zeros((STUDENTS, ROWS), tl.float32)
    found = tl.zeros((STUDENTS, ROWS, SIZE), tl.float32)
    for step in range(0, 2 * stop):
        columns = step % stop * COLUMNS + tl.arange(0, COLUMNS)
        t, mixed, s = mean_tiles(
            teacher, student, cells, sample, rows, columns, TEACHERS, STUDENTS, ROWS, COLUMNS, CHUNK
        )
        ds = slope_of(t, mixed, scale)[None, :, :]
        if step < stop:
            mean += tl.sum(s * ds, axis=2)
        else:
            k = vectors(
                student.keys, student.key_strides, student.group, sample, student.heads, columns,
                columns < cells.keys, 0, student.size, STUDENTS, SIZE,
            )  # fmt: skip
            found = product(s * (ds - mean[:, :, None]), k.to(tl.float32), found)
    head, entry = tl.arange(0, STUDENTS), tl.arange(0, SIZE)
    place = (sample * student.heads + head[:, None]) * cells.queries + rows[None, :]
    there = (head < student.heads)[:, None] & (rows < cells.queries)[None, :]
    tl.store(means + place, mean, mask=there)
    inside = there[:, :, None] & (entry < student.size)[None, None, :]
    place = place[:, :, None] * student.size + entry[None, None, :]
    tl.store(gradient + place, found * student.factor, mask=inside)


@triton.jit
def key_gradients(
    teacher, student, cells, means, gradient, scale,
    TEACHERS: tl.constexpr, STUDENTS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    CHUNK: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    """``dk`` of some keys by each query head, from the ``means`` there are."""
    blocks = tl.cdiv(cells.keys, COLUMNS)
    sample = tl.program_id(0).to(tl.int64) // blocks
    columns = tl.program_id(0).to(tl.int64) % blocks * COLUMNS + tl.arange(0, COLUMNS)
    head, entry = tl.arange(0, STUDENTS), tl.arange(0, SIZE)
    found = tl.zeros((STUDENTS, COLUMNS, SIZE), tl.float32)
    for block in range(0, tl.cdiv(cells.queries, ROWS)):
        rows = block * ROWS + tl.arange(0, ROWS)
        t, mixed, s = mean_tiles(
            teacher, student, cells, sample, rows, columns, TEACHERS, STUDENTS, ROWS, COLUMNS, CHUNK
        )
        place = (sample * student.heads + head[:, None]) * cells.queries + rows[None, :]
        there = (head < student.heads)[:, None] & (rows < cells.queries)[None, :]
        mean = tl.load(means + place, mask=there, other=0.0)
        dz = s * (slope_of(t, mixed, scale)[None, :, :] - mean[:, :, None])
        q = vectors(
            student.queries, student.query_strides, 1, sample, student.heads, rows,
            rows < cells.queries, 0, student.size, STUDENTS, SIZE,
        )  # fmt: skip
        found = product(tl.permute(dz, (0, 2, 1)), q.to(tl.float32), found)
    place = (sample * student.heads + head[:, None]) * cells.keys + columns[None, :]
    there = (head < student.heads)[:, None] & (columns < cells.keys)[None, :]
    inside = there[:, :, None] & (entry < student.size)[None, None, :]
    place = place[:, :, None] * student.size + entry[None, None, :]
    tl.store(gradient + place, found * student.factor, mask=inside)
