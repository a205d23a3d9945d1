"""The sweeps over queries and keys: maps whose tiles are made, used and dropped.

Heads are ``[B, H, ...]``; all that comes back is small, or of the size of queries and keys. What a
program sums it writes on its own, and the parts are added up here: the same in every run.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from amad_torch.kernels.availability import in_integers
from amad_torch.kernels.programs import row_sums as programs_of_rows
from amad_torch.kernels.programs.score_divergences import score_divergences
from amad_torch.kernels.programs.score_gradients import key_gradients, query_gradients
from amad_torch.kernels.programs.score_sums import score_sums
from amad_torch.kernels.programs.sides import Cells, Side, Small
from amad_torch.kernels.tiles import bad_norms, floor_of, padded, wide

_ROWS, _COLUMNS = 16, 16
"""Queries and keys of a tile."""

_CHUNKS = {2: 64, 4: 16}
"""Entries of a vector that are multiplied at once, by their bytes: they lie in shared memory."""

_PARTS = 4
"""Programs that share the keys of some queries: enough to fill a GPU, few enough to stay linear."""


class Pair(NamedTuple):
    """Both models, and the cells that count."""

    teacher: Side
    student: Side
    cells: Cells


class Sums(NamedTuple):
    """Of heads over their divisors, ``[B, ...]``: products of heads, squares of L2 norms, L1 norms.

    ``gram`` where it was asked for; divisors are 1, or peaks in a sample whose norms lay badly.
    """

    products: Tensor
    gram: Tensor | None
    teacher_squares: Tensor
    student_squares: Tensor
    teacher_totals: Tensor
    student_totals: Tensor
    teacher_divisors: Tensor
    student_divisors: Tensor


def side(
    queries: Tensor,
    keys: Tensor,
    *,
    factor: float,
    mask: Tensor | None,
    bias: Tensor | None,
    reach: tuple[int, int],
    row_sums: Tensor | None,
) -> Side:
    """One model, queries ``[B, H, Q, d]`` and keys ``[B, Hk, K, d]``, with its ``row_sums``.

    ``reach``: how far before and after a query keys are seen. ``mask``, ``bias``: four axes that
    broadcast to ``[B, H, Q, K]``.
    """
    batch, heads, count, size = queries.shape
    queries, keys = _readable(queries), _readable(keys)
    found = Side(
        queries, keys, row_sums, None if mask is None else mask.view(torch.uint8), bias,
        queries.stride()[:3], keys.stride()[:3], _broadcasting(mask, 4), _broadcasting(bias, 4),
        heads, heads // keys.shape[1], size, factor, reach[0], reach[1],
    )  # fmt: skip
    if row_sums is not None:
        return found._replace(row_sums=wide(row_sums.masked_fill(row_sums == -math.inf, math.inf)))
    sums = torch.empty((batch, heads, count), dtype=torch.float32, device=queries.device)
    found = found._replace(row_sums=sums)
    cells = Cells(None, (0, 0, 0), count, keys.shape[2], *reach)
    programs_of_rows.row_sums[(batch * math.ceil(count / _ROWS),)](
        found, cells, WIDE=False, HEADS=padded(heads), ROWS=_ROWS, COLUMNS=_COLUMNS,
        CHUNK=_chunk(found),
    )  # fmt: skip
    return found


def pair(teacher: Side, student: Side, counted: Tensor | None) -> Pair:
    """Both, and of a boolean ``counted``, three axes that broadcast to ``[B, Q, K]``, the cells."""
    mask = None if counted is None else counted.view(torch.uint8)
    reach = (max(teacher.before, student.before), max(teacher.after, student.after))
    sizes = student.queries.shape[2], student.keys.shape[2]
    return Pair(teacher, student, Cells(mask, _broadcasting(counted, 3), *sizes, *reach))


def sums(both: Pair, *, gram: bool, dtype: torch.dtype) -> Sums:
    """The first sweep, and, where a sample's norms lie badly, a second over that sample alone."""
    heads = both.teacher.heads, both.student.heads
    products = _parted(both, *heads)
    among = _parted(both, heads[1], heads[1]) if gram else products
    sides = [torch.stack([_parted(both, count) for _ in range(3)]) for count in heads]
    batch = len(products)
    divisors = [products.new_ones((batch, count)) for count in heads]
    wanted = torch.ones(batch, dtype=torch.uint8, device=products.device)

    def sweep(scaled: bool) -> None:
        score_sums[_grid(both)](
            *both, *divisors, wanted, products, among, *sides, _PARTS,
            SCALED=scaled, GRAM=gram, **_flags(both),
        )  # fmt: skip

    sweep(scaled=False)
    peaks = [one[2].amax(dim=1) for one in sides]
    bad = [bad_norms(one[0].sum(dim=1), peak) for one, peak in zip(sides, peaks, strict=True)]
    wanted.copy_(bad[0] | bad[1])
    for divisor, peak in zip(divisors, peaks, strict=True):
        divisor.copy_(peak.where((wanted != 0)[:, None] & (peak != 0), 1.0))
    sweep(scaled=True)  # a launch that ends at once, where nothing is bad
    squares, totals = ([one[kind].sum(dim=1, dtype=dtype) for one in sides] for kind in (0, 1))
    return Sums(
        products.sum(dim=1, dtype=dtype),
        among.sum(dim=1, dtype=dtype) if gram else None,
        *squares,
        *totals,
        *divisors,
    )


def divergences(
    both: Pair,
    sizes: tuple[Tensor, Tensor],
    mixing: Tensor,
    *,
    kind: str,
    eps: float,
    derivative: bool,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor | None]:
    """The second sweep of ``kl`` and ``js``: losses ``[B]``, and ``slope Sᵀ`` ``[B, Ht, Hs]``.

    Heads are divided by ``sizes`` ``[B, H]``; mixtures are ``mixing`` ``[B, Ht, Hs]`` of those.
    """
    heads = both.teacher.heads, both.student.heads
    values = _parted(both, heads[0])
    by_weight = _parted(both, *heads) if derivative else values
    floor, log_eps = floor_of(eps, kind)
    score_divergences[_grid(both)](
        *both, *(wide(one) for one in (*sizes, mixing)), values, by_weight, _PARTS,
        floor, log_eps, torch.finfo(torch.float32).tiny,
        KIND=kind, DERIVATIVE=derivative, **_flags(both),
    )  # fmt: skip
    loss = values.sum(dim=(1, 2), dtype=dtype)
    return loss, by_weight.sum(dim=1, dtype=dtype) if derivative else None


def gradients(
    both: Pair,
    sizes: tuple[Tensor, Tensor],
    *,
    kind: str,
    eps: float,
    from_teacher: Tensor,
    from_student: Tensor,
    mixing: Tensor | None = None,
    back: Tensor | None = None,
    shift: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Those of the student's queries and keys, float32, in their shapes.

    ``dS = from_teacher T + from_student S`` of heads over ``sizes`` for the kind ``squares``; for
    ``kl`` and ``js`` with ``back slope`` and ``shift`` besides, and ``from_student`` ``[B, Hs]``.
    """
    student = both.student
    batch, heads, queries, size = student.queries.shape
    given = (*sizes, mixing, back, from_teacher, from_student, shift)
    small = Small(*(None if one is None else wide(one) for one in given))
    means, of_queries, of_keys = (
        torch.empty((batch, heads, *shape), dtype=torch.float32, device=student.queries.device)
        for shape in ((queries,), (queries, size), (both.cells.keys, size))
    )
    options = {"KIND": kind, "SIZE": padded(size), **_flags(both)}
    floor = floor_of(eps, kind)[0]
    for program, found, count in (
        (query_gradients, of_queries, math.ceil(queries / _ROWS)),
        (key_gradients, of_keys, math.ceil(both.cells.keys / _COLUMNS)),
    ):
        program[(batch * count,)](*both, small, means, found, floor, **options)
    return of_queries, of_keys.view(batch, -1, student.group, *of_keys.shape[2:]).sum(dim=2)


def _grid(both: Pair) -> tuple[int]:
    return (len(both.student.queries) * _blocks(both),)


def _blocks(both: Pair) -> int:
    return math.ceil(both.cells.queries / _ROWS) * _PARTS


def _parted(both: Pair, *shape: int) -> Tensor:
    """``[B, blocks, ...]`` for what each program finds."""
    queries = both.student.queries
    whole = (len(queries), _blocks(both), *shape)
    return torch.empty(whole, dtype=torch.float32, device=queries.device)


def _flags(both: Pair) -> dict[str, Any]:
    return {
        "TEACHER_WIDE": both.teacher.queries.dtype != both.teacher.keys.dtype,
        "STUDENT_WIDE": both.student.queries.dtype != both.student.keys.dtype,
        "TEACHERS": padded(both.teacher.heads), "STUDENTS": padded(both.student.heads),
        "ROWS": _ROWS, "COLUMNS": _COLUMNS,
        "CHUNK": min(_chunk(one) for one in (both.teacher, both.student)),
    }  # fmt: skip


def _chunk(side: Side) -> int:
    most = _CHUNKS[max(side.queries.element_size(), side.keys.element_size())]
    return min(most, padded(side.size))


def _readable(values: Tensor) -> Tensor:
    """As they are where the entries of a vector lie one after the other."""
    values = values.float() if in_integers(values) else values
    return values if values.stride(-1) == 1 else values.contiguous()


def _broadcasting(values: Tensor | None, axes: int) -> tuple[int, ...]:
    """Strides, 0 for an axis of length 1."""
    if values is None:
        return (0,) * axes
    steps = zip(values.stride(), values.shape, strict=True)
    return tuple(step if length > 1 else 0 for step, length in steps)
