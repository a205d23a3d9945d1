"""The first sweep over the maps: all that the weights of eq. 2 follow from, and the look at values.

Sums are of ``R`` vectors a head: one, or one a query row (``token``). Guarded by
tests/closed_form/test_implementations.py.
"""

import math
from collections.abc import Container, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from amad_torch.attention.inputs import accumulation_dtype, checked_maps
from amad_torch.closed_form.strips import (
    ForStrips,
    Tile,
    add_strips,
    fill,
    stretches,
    tiles,
)
from amad_torch.closed_form.workspace import Workspace, kept_workspace
from amad_torch.kernels.availability import serves


class Maps(NamedTuple):
    """Maps ``[B, H, Q, K]`` as they came, the mask ``[B, Q, K]``, and how they are laid out."""

    teacher: Tensor
    student: Tensor
    mask: Tensor | None
    by_row: bool

    @property
    def heads(self) -> tuple[int, int]:
        return self.teacher.shape[1], self.student.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        """That of all cells while they are worked with."""
        return accumulation_dtype(self.teacher, self.student)

    @property
    def vectors(self) -> tuple[int, int]:
        """``B`` and ``R``."""
        return self.student.shape[0], self.student.shape[2] if self.by_row else 1

    @property
    def kind(self) -> torch.dtype:
        """That of what is small: sums of many cells are added up in float64 where there is one."""
        one_row = self.by_row or self.student.device.type == "mps"
        return self.dtype if one_row else torch.float64

    def tiles(self) -> list[Tile]:
        """All of them."""
        return tiles(self.student, sum(self.heads), by_row=self.by_row)

    def part(self, samples: slice, queries: slice) -> "Maps":
        """These samples and query rows alone."""
        teacher, student = (one[samples, :, queries] for one in (self.teacher, self.student))
        mask = None if self.mask is None else self.mask[samples, queries]
        return Maps(teacher, student, mask, self.by_row)

    @property
    def on_kernels(self) -> bool:
        """Whether the sweeps are kernels: on a GPU, where Triton is installed."""
        return serves(self.teacher, self.student)

    @property
    def ready(self) -> bool:
        """Whether the maps can be worked with where they are."""
        both = self.teacher, self.student
        return self.mask is None and all(
            one.dtype == self.dtype and one.is_contiguous() for one in both
        )


class Sums(NamedTuple):
    """Of heads divided by their peaks, in float64 where the device has it.

    Attributes:
        products: ``<t_i, s_j>``, ``[B, R, Ht, Hs]``.
        gram: ``<s_j, s_m>``, ``[B, R, Hs, Hs]``; ``None`` where it was not asked for.
        squares: ``[B, R, Ht + Hs]``, of L2 norms, the teacher's heads first.
        totals: ``[B, R, Ht + Hs]``, L1 norms, likewise.
        peaks: ``[B, R, Ht + Hs]`` in the dtype of the cells; ``None``: heads are as they came.
    """

    products: Tensor
    gram: Tensor | None
    squares: Tensor
    totals: Tensor
    peaks: Tensor | None


def sums(maps: Maps, *, gram: bool, check: bool) -> Sums:
    """One sweep; two more where a norm is so small or large that heads have to be scaled first.

    Raises:
        ValueError: with ``check``, cells that count and are negative, NaN or infinite.
    """
    if maps.student.device.type != "cpu" or maps.on_kernels:  # to look would be to wait
        if check:
            checked_maps(maps.teacher, maps.student, maps.mask, check)
        if maps.on_kernels:
            return _by_kernel(maps, gram=gram)
        return _sweep(maps, _peaks(maps), gram=gram)[0]
    found, least = _sweep(maps, None, gram=gram)
    if check and not (least >= 0 and bool(found.squares.isfinite().all())):  # NaN is not
        checked_maps(maps.teacher, maps.student, maps.mask, check)  # says what is wrong, if it is
    if _safe(found.squares, maps.dtype):
        return found
    peaks = _peaks(maps)
    if _safe(found.squares.where(peaks != 0, 1.0), maps.dtype):
        return found
    return _sweep(maps, peaks.where(peaks != 0, 1.0), gram=gram)[0]


def filled(
    maps: Maps,
    workspace: Workspace,
    divisors: Tensor | None,
    factors: Tensor | None = None,
    only: Container[int] | None = None,
) -> Iterator[tuple[Tile, Tensor, Tensor]]:
    """Every tile with both models' heads, ``[n, Ht, k]`` and ``[n, Hs, k]``, in the same memory.

    Heads are divided by ``divisors`` and multiplied by ``factors``, ``[B, R, Ht + Hs]``. ``only``:
    tiles of one of these samples.
    """
    given = maps.teacher, maps.student
    count, keys = maps.heads[0], maps.student.shape[3]
    parts = slice(count), slice(count, None)
    scales = [
        [None if each is None else ForStrips(each[..., part]) for each in (divisors, factors)]
        for part in parts
    ]
    for tile in maps.tiles():
        if only is not None and not any(
            sample in only for sample in range(tile.samples.start, tile.samples.stop)
        ):
            continue
        cells = workspace("maps", tile.all, sum(maps.heads), tile.rows * keys)
        both = [cells[:, part] for part in parts]
        for one, strips, scale in zip(given, both, scales, strict=True):
            divisor, factor = (None if each is None else each(tile) for each in scale)
            fill(strips, one, tile, mask=maps.mask, divisor=divisor, factor=factor)
        yield tile, both[0], both[1]


def _lie_well(maps: Maps) -> bool:
    """Not where heads are large and a multiple of a page apart: they share the lines of a cache."""
    head = maps.student.stride(1) * maps.dtype.itemsize
    return head <= 2**15 or head % 4096 != 0


def _in_place(maps: Maps) -> Iterator[tuple[Tile, Tensor, Tensor]]:
    """Likewise of whole maps where they are: ``k`` cells of some samples as they lie."""
    both = maps.teacher.flatten(2), maps.student.flatten(2)
    batch, _, cells_of_head = both[1].shape
    for samples, cells in stretches(batch, cells_of_head, sum(maps.heads)):
        tile = Tile(samples, slice(0), 0, 1, samples.stop - samples.start)
        yield tile, both[0][samples, :, cells], both[1][samples, :, cells]


def _sweep(maps: Maps, divisors: Tensor | None, *, gram: bool) -> tuple[Sums, float]:
    """The sums, and the least of all cells."""
    teachers, students = maps.heads
    products, among, squares, totals = (
        maps.student.new_zeros((*maps.vectors, *shape), dtype=maps.kind)
        for shape in (
            (teachers, students), (students, students), (teachers + students,),
            (teachers + students,),
        )
    )  # fmt: skip
    least = math.inf
    workspace = kept_workspace(maps.student, maps.dtype)
    as_they_lie = maps.ready and divisors is None and not maps.by_row and _lie_well(maps)
    all_tiles = _in_place(maps) if as_they_lie else filled(maps, workspace, divisors)
    for tile, teacher, student in all_tiles:
        add_strips(products, torch.bmm(teacher, student.mT), tile)
        sides = [(teacher, slice(teachers))]
        if gram:
            add_strips(among, torch.bmm(student, student.mT), tile)
        else:
            sides.append((student, slice(teachers, None)))
        if student.device.type == "cpu":
            for heads in (teacher, student):
                smallest = float(heads.amin())
                least = smallest if not smallest >= least else least  # NaN stays
        for heads, part in sides:
            if not gram:
                add_strips(totals[..., part], heads.sum(dim=-1), tile)
            # In the place of the heads, where that is a copy; not `vector_norm`, which adds up one
            # after the other on the CPU.
            room = workspace("squares", *heads.shape) if as_they_lie else heads
            add_strips(squares[..., part], torch.mul(heads, heads, out=room).sum(dim=-1), tile)
    if gram:
        squares[..., teachers:] = among.diagonal(dim1=-2, dim2=-1)
    return Sums(products, among if gram else None, squares, totals, divisors), least


def _by_kernel(maps: Maps, *, gram: bool) -> Sums:
    from amad_torch.kernels.maps import sums as swept

    given = maps.teacher, maps.student, maps.mask
    return Sums(*swept(*given, by_row=maps.by_row, gram=gram, dtype=maps.kind))


def _peaks(maps: Maps) -> Tensor:
    """The largest cell of each head, ``[B, R, Ht + Hs]``."""
    found = maps.student.new_zeros((*maps.vectors, sum(maps.heads)), dtype=maps.dtype)
    for tile, *both in filled(maps, kept_workspace(found, maps.dtype), None):
        highest = torch.cat([heads.amax(dim=-1) for heads in both], dim=1)
        highest = highest.view(-1, tile.strips, sum(maps.heads))
        if maps.by_row:
            found[tile.samples, tile.queries] = highest
        else:
            found[tile.samples, 0] = torch.maximum(found[tile.samples, 0], highest.amax(dim=1))
    return found


def _safe(squares: Tensor, dtype: torch.dtype) -> bool:
    """Whether no product of two cells that matter over- or underflows."""
    limits = torch.finfo(dtype)
    least, most = (float(one) for one in torch.aminmax(squares))
    return bool(least > limits.tiny ** (1 / 3) and most < limits.max ** (1 / 3))
