"""The sweeps over maps: what closed forms ask of all cells, one launch each.

Maps are ``[B, H, Q, K]``, a vector a whole map (``R = 1``) or a query row (``by_row``, ``R = Q``).
Small tensors are ``[B, R, ...]``. Every program has all heads of some cells; what it sums it writes
on its own, and the parts are added up here, in the dtype asked for: the same in every run.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from amad_torch.kernels.availability import in_integers
from amad_torch.kernels.programs.map_divergences import map_divergences
from amad_torch.kernels.programs.map_gradient import map_gradient
from amad_torch.kernels.programs.map_sums import map_sums
from amad_torch.kernels.tiles import bad_norms, floor_of, padded, wide

_BLOCKS = 16
"""So many tiles at most are one program's: their sums are one part, in float32."""

_VALUES = 2048
"""Of one model in a tile."""


class Sums(NamedTuple):
    """Of heads over their divisors, ``[B, R, ...]``.

    ``products`` ``[.., Ht, Hs]``, ``gram`` ``[.., Hs, Hs]`` (where asked for), ``squares`` and
    ``totals`` ``[.., Ht + Hs]`` (``totals`` where ``gram`` is not), ``divisors`` in float32: peaks
    of a vector in which a norm would have lost digits or overflowed, elsewhere 1.
    """

    products: Tensor
    gram: Tensor | None
    squares: Tensor
    totals: Tensor
    divisors: Tensor


class _Launch:
    """Shapes and strides that all sweeps have in common."""

    def __init__(self, teacher: Tensor, student: Tensor, mask: Tensor | None, by_row: bool) -> None:
        self.teacher, self.student = (_flat(one.detach()) for one in (teacher, student))
        batch, students, queries, keys = student.shape
        self.heads = teacher.shape[1], students
        self.vectors = batch, queries if by_row else 1
        cells = keys if by_row else queries * keys
        tiles = tuple(padded(heads) for heads in self.heads)
        block = max(16, _VALUES // max(tiles))
        self.parts = math.ceil(cells / (block * _BLOCKS))
        blocks = math.ceil(cells / (block * self.parts))
        self.mask = self.student if mask is None else mask.view(torch.uint8)
        steps = (0, 0, 0) if mask is None else mask.stride()
        self.strides = (*self.teacher.stride()[:2], *self.student.stride()[:2])
        self.sizes = (*steps, self.vectors[1], cells, keys, self.parts, blocks, *self.heads)
        self.flags: dict[str, Any] = {
            "MASKED": mask is not None, "TEACHERS": tiles[0], "STUDENTS": tiles[1],
            "CELLS": block,
        }  # fmt: skip

    @property
    def grid(self) -> tuple[int]:
        return (math.prod(self.vectors) * self.parts,)

    def parted(self, *shape: int) -> Tensor:
        """``[B, R, parts, ...]`` for what each program finds."""
        return self.student.new_empty((*self.vectors, self.parts, *shape), dtype=torch.float32)


def sums(
    teacher: Tensor,
    student: Tensor,
    mask: Tensor | None,
    *,
    by_row: bool,
    gram: bool,
    dtype: torch.dtype,
) -> Sums:
    """The first sweep, and, where a vector's norms lie badly, a second over that vector alone."""
    launch = _Launch(teacher, student, mask, by_row)
    teachers, students = launch.heads
    products = launch.parted(teachers, students)
    among = launch.parted(students, students) if gram else products
    sides = [torch.stack([launch.parted(heads) for _ in range(3)]) for heads in launch.heads]
    divisors = products.new_ones((*launch.vectors, teachers + students))
    wanted = torch.ones(launch.vectors, dtype=torch.uint8, device=student.device)
    unlike = teacher.dtype != student.dtype or in_integers(student)

    def sweep(scaled: bool) -> None:
        map_sums[launch.grid](
            launch.teacher, launch.student, launch.mask, divisors, wanted,
            products, among, *sides, *launch.strides, *launch.sizes,
            SCALED=scaled, GRAM=gram, WIDE=unlike, **launch.flags,
        )  # fmt: skip

    sweep(scaled=False)
    squares = torch.cat([side[0].sum(dim=-2) for side in sides], dim=-1)
    peaks = torch.cat([side[2].amax(dim=-2) for side in sides], dim=-1)
    bad = bad_norms(squares, peaks)
    wanted.copy_(bad)
    divisors.copy_(peaks.where(bad.unsqueeze(-1) & (peaks != 0), 1.0))
    sweep(scaled=True)  # a launch that ends at once, where nothing is bad

    def both(kind: int) -> Tensor:
        return torch.cat([side[kind].sum(dim=-2, dtype=dtype) for side in sides], dim=-1)

    return Sums(
        products.sum(dim=2, dtype=dtype),
        among.sum(dim=2, dtype=dtype) if gram else None,
        both(0),
        both(1),
        divisors,
    )


def divergences(
    teacher: Tensor,
    student: Tensor,
    mask: Tensor | None,
    *,
    by_row: bool,
    divisors: Tensor,
    factors: Tensor,
    mixing: Tensor,
    kind: str,
    eps: float,
    derivative: bool,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """The second sweep, ``kl`` or ``js``: ``Σ div(p_i, Σ_j mixing_ij s_j)`` and ``slope Sᵀ``.

    ``[B, R, Ht]`` and ``[B, R, Ht, Hs]`` (0 without ``derivative``), of heads over ``divisors`` and
    times ``factors``, ``[B, R, Ht + Hs]``, by weights ``mixing`` ``[B, R, Ht, Hs]``.
    """
    launch = _Launch(teacher, student, mask, by_row)
    values = launch.parted(launch.heads[0])
    by_weight = launch.parted(*launch.heads) if derivative else values
    floor, log_eps = floor_of(eps, kind)
    map_divergences[launch.grid](
        launch.teacher, launch.student, launch.mask,
        *(wide(one) for one in (divisors, factors, mixing)), launch.mask, values, by_weight,
        *launch.strides, *launch.sizes, floor, log_eps, torch.finfo(torch.float32).tiny,
        KIND=kind, DERIVATIVE=derivative, **launch.flags,
    )  # fmt: skip
    loss = values.sum(dim=2, dtype=dtype)
    if not derivative:
        return loss, torch.zeros_like(mixing, dtype=dtype)
    return loss, by_weight.sum(dim=2, dtype=dtype)


def squared_distances(
    teacher: Tensor,
    student: Tensor,
    mask: Tensor | None,
    *,
    divisors: Tensor,
    factors: Tensor,
    mixing: Tensor,
    wanted: Tensor,
    values: Tensor,
) -> Tensor:
    """``|t̂_i - Σ_j mixing_ij ŝ_j|²`` (eq. 4) in samples ``wanted`` ``[B]``; ``values`` elsewhere.

    ``[B, 1, Ht]``; ``factors`` are one over the L2 norms.
    """
    launch = _Launch(teacher, student, mask, by_row=False)
    found = launch.parted(launch.heads[0]).zero_()
    flags = wanted.to(torch.uint8)
    map_divergences[launch.grid](
        launch.teacher, launch.student, launch.mask,
        *(wide(one) for one in (divisors, factors, mixing)), flags, found, found,
        *launch.strides, *launch.sizes, 0.0, 0.0, 0.0,
        KIND="squares", DERIVATIVE=False, **launch.flags,
    )  # fmt: skip
    return found.sum(dim=2, dtype=values.dtype).where(wanted[:, None, None], values)


def gradient_of_squared_distances(
    teacher: Tensor,
    student: Tensor,
    mask: Tensor | None,
    *,
    divisors: Tensor,
    from_teacher: Tensor,
    from_student: Tensor,
) -> Tensor:
    """``(from_teacher T + from_student S)/divisors`` (eq. 4), in the student's shape and dtype.

    ``from_teacher`` is ``[B, 1, Hs, Ht]``, ``from_student`` ``[B, 1, Hs, Hs]``.
    """
    launch = _Launch(teacher, student, mask, by_row=False)
    small = wide(divisors), wide(from_teacher), wide(from_student)
    unused = small[0]
    return _gradient(launch, (small[0], unused, unused, unused, *small[1:], unused), 0.0, "squares")


def gradient_of_divergences(
    teacher: Tensor,
    student: Tensor,
    mask: Tensor | None,
    *,
    by_row: bool,
    divisors: Tensor,
    factors: Tensor,
    mixing: Tensor,
    back: Tensor,
    from_teacher: Tensor,
    from_student: Tensor,
    shift: Tensor,
    kind: str,
    eps: float,
) -> Tensor:
    """``(back slope + from_teacher T + from_student S + shift)/divisors`` (eq. 9, 12).

    ``back`` and ``from_teacher`` ``[B, R, Hs, Ht]``, ``from_student`` and ``shift`` ``[B, R, Hs]``.
    """
    launch = _Launch(teacher, student, mask, by_row)
    given = (divisors, factors, mixing, back, from_teacher, from_student, shift)
    small = tuple(wide(one) for one in given)
    return _gradient(launch, small, floor_of(eps, kind)[0], kind)


def _gradient(launch: _Launch, small: tuple[Tensor, ...], floor: float, kind: str) -> Tensor:
    dtype = torch.float32 if in_integers(launch.student) else launch.student.dtype
    found = torch.empty_like(launch.student, dtype=dtype, memory_format=torch.contiguous_format)
    map_gradient[launch.grid](
        launch.teacher, launch.student, launch.mask, *small, found,
        *launch.strides, *found.stride()[:2], *launch.sizes,
        floor, torch.finfo(torch.float32).max, KIND=kind, **launch.flags,
    )  # fmt: skip
    return found.to(launch.student.dtype)


def _flat(maps: Tensor) -> Tensor:
    """As they are where the cells of a head lie one after the other."""
    queries, keys = maps.shape[2:]
    lies = (keys == 1 or maps.stride(3) == 1) and (queries == 1 or maps.stride(2) == keys)
    return maps if lies else maps.contiguous()
