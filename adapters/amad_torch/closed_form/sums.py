"""The first sweep over the maps: all that the weights of eq. 2 follow from, and the look at values.

Sums are of ``R`` vectors a head: one, or one a query row (``token``). Guarded by
tests/closed_form/test_implementations.py.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from amad_torch.attention.inputs import accumulation_dtype, checked_maps
from amad_torch.closed_form.tiles import Tiling, tiling
from amad_torch.closed_form.workspace import kept_workspace
from amad_torch.kernels.availability import serves

PROBLEM = 256
"""So many query rows are compared at a time in ``token``."""


@dataclass(frozen=True, eq=False)
class Maps:
    """Maps ``[B, H, Q, K]`` as they came, the mask ``[B, Q, K]``, and how they are laid out."""

    teacher: Tensor
    student: Tensor
    mask: Tensor | None
    by_row: bool

    @cached_property
    def heads(self) -> tuple[int, int]:
        return self.teacher.shape[1], self.student.shape[1]

    @cached_property
    def dtype(self) -> torch.dtype:
        """That of all cells while they are worked with."""
        return accumulation_dtype(self.teacher, self.student)

    @cached_property
    def vectors(self) -> tuple[int, int]:
        """``B`` and ``R``."""
        return self.student.shape[0], self.student.shape[2] if self.by_row else 1

    @cached_property
    def kind(self) -> torch.dtype:
        """That of what is small: sums of many cells are added up in float64 where there is one."""
        one_row = self.by_row or self.student.device.type == "mps"
        return self.dtype if one_row else torch.float64

    def by_model(self, values: Tensor) -> Sequence[Tensor]:
        """``[..., Ht + Hs]`` to the teacher's and the student's."""
        return values.split_with_sizes(self.heads, dim=-1)

    def tiling(self, *, for_sums: bool = False) -> Tiling:
        """How a sweep goes over them."""
        heads = sum(self.heads)
        return tiling(self.student, heads, by_row=self.by_row, for_sums=for_sums)

    def problems(self) -> list[tuple[slice, slice]]:
        """Ranges of samples and query rows, so few that what is small of each row stays so."""
        batch, rows = self.student.shape[0], self.student.shape[2]
        at_once = math.ceil(rows / math.ceil(rows / PROBLEM))
        together = max(1, PROBLEM // rows)
        return [
            (slice(first, first + together), slice(start, start + at_once))
            for first in range(0, batch, together)
            for start in range(0, rows, at_once)
        ]

    def part(self, place: tuple[slice, slice]) -> "Maps":
        """Some samples and query rows alone."""
        samples, rows = place
        teacher, student = (one[samples, :, rows] for one in (self.teacher, self.student))
        mask = None if self.mask is None else self.mask[samples, rows]
        return Maps(teacher, student, mask, self.by_row)

    @cached_property
    def on_kernels(self) -> bool:
        """Whether the sweeps are kernels: on a GPU, where Triton is installed."""
        return serves(self.teacher, self.student)

    @cached_property
    def ready(self) -> bool:
        """Whether the maps can be worked with where they are."""
        return self.mask is None and all(
            one.dtype == self.dtype and (one.stride(3) == 1 if self.by_row else one.is_contiguous())
            for one in (self.teacher, self.student)
        )


class Sums(NamedTuple):
    """Of heads divided by their peaks, in float64 where the device has it.

    Attributes:
        products: ``<t_i, s_j>``, ``[B, R, Ht, Hs]``.
        gram: ``<s_j, s_m>``, ``[B, R, Hs, Hs]``; ``None`` where it was not asked for.
        squares: ``[B, R, Ht + Hs]``, of L2 norms, the teacher's heads first.
        totals: ``[B, R, Ht + Hs]``, L1 norms, likewise; ``None`` where ``gram`` was asked for.
        peaks: ``[B, R, Ht + Hs]`` in the dtype of the cells; ``None``: heads are as they came.
        least: the smallest cell of each model, but for NaN; ``None`` where nobody looks.
    """

    products: Tensor
    gram: Tensor | None
    squares: Tensor
    totals: Tensor | None
    peaks: Tensor | None
    least: tuple[float, float] | None = None


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
        return _sweep(maps, _divisors(_peaks(maps)), gram=gram)
    found = _sweep(maps, None, gram=gram, look=check or not gram)
    safe = _safe(found.squares, maps.dtype)  # no NaN is, nor what is infinite
    if check and not (safe and found.least is not None and min(found.least) >= 0):
        checked_maps(maps.teacher, maps.student, maps.mask, check)  # says what is wrong, if it is
    if safe:
        return found
    peaks = _peaks(maps)
    if _safe(found.squares.where(peaks != 0, 1.0), maps.dtype):
        return found
    return _sweep(maps, _divisors(peaks), gram=gram)


def in_place(maps: Maps, cuts: Tiling) -> Iterator[tuple[Tensor, Tensor]]:
    """Every tile of both models' heads, ``[m, Ht, k]`` and ``[m, Hs, k]``, where they lie."""
    return zip(cuts.cut(maps.teacher), cuts.cut(maps.student), strict=True)


def filled(
    maps: Maps, cuts: Tiling, divisors: Tensor | None, factors: Tensor | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Likewise in memory that is used again: in the dtype of sums, 0 in masked cells.

    Heads are divided by ``divisors`` and multiplied by ``factors``, ``[B, R, Ht + Hs]``.
    """
    workspace = kept_workspace(maps.student, maps.dtype)
    scales = [
        None if one is None else [cuts.of(part) for part in maps.by_model(one)]
        for one in (divisors, factors)
    ]
    masks = None if maps.mask is None else cuts.cut(maps.mask.unsqueeze(1))
    for place, both in enumerate(in_place(maps, cuts)):
        rooms = []
        for model, tile in enumerate(both):
            room = workspace(f"model {model}", *tile.shape)
            divisor, factor = (
                None if one is None else one[model][place].unsqueeze(-1) for one in scales
            )
            if divisor is None and factor is not None:
                torch.mul(tile, factor, out=room)
            elif divisor is not None:
                torch.div(tile, divisor, out=room)
            else:
                room.copy_(tile)
            if masks is not None:
                # Not a product: 0 * NaN is NaN.
                room.masked_fill_(~masks[place], 0.0)
            if divisor is not None and factor is not None:
                room.mul_(factor)
            rooms.append(room)
        yield rooms[0], rooms[1]


def _sweep(maps: Maps, divisors: Tensor | None, *, gram: bool, look: bool = False) -> Sums:
    """The sums, and, with ``look``, the least cells."""
    norm, both = torch.linalg.vector_norm, (0, 1)
    pairs = [(0, 1), (1, 1)] if gram else [(0, 1)]
    reductions = (
        [(0, norm)] if gram else [(model, one) for one in (norm, torch.sum) for model in both]
    )
    cuts = maps.tiling(for_sums=True)
    lies_ready = maps.ready and divisors is None
    all_tiles = in_place(maps, cuts) if lies_ready else filled(maps, cuts, divisors)
    least = [math.inf, math.inf]
    found = iter(_collected(maps, cuts, all_tiles, pairs, reductions, least if look else None))
    products, *among = (added_up(next(found), maps) for _ in pairs)
    seen = (least[0], least[1]) if look else None
    if gram:
        norms = added_up(next(found).to(maps.kind).square_(), maps)
        squares = torch.cat([norms, among[0].diagonal(dim1=-2, dim2=-1)], dim=-1)
        return Sums(products, among[0], squares, None, divisors, seen)
    norms, totals = (torch.cat([next(found), next(found)], dim=-1) for _ in both)
    squares = added_up(norms.to(maps.kind).square_(), maps)
    return Sums(products, None, squares, added_up(totals, maps), divisors, seen)


def _collected(
    maps: Maps,
    cuts: Tiling,
    all_tiles: Iterable[tuple[Tensor, Tensor]],
    pairs: Sequence[tuple[int, int]],
    reductions: Sequence[tuple[int, Callable[..., Tensor]]],
    least: list[float] | None = None,
) -> list[Tensor]:
    """Of every part ``[B, parts, ...]``: products of the heads of two models, reductions of one.

    ``least`` is lowered to the smallest cell of each model. It comes first: one plain walk through
    memory brings a tile into the cache, which products of few heads would do slowly.
    """
    shapes = [
        *((maps.heads[left], maps.heads[right]) for left, right in pairs),
        *((maps.heads[model],) for model, _ in reductions),
    ]
    size = maps.student.shape[0], cuts.parts
    found = [maps.student.new_empty((*size, *shape), dtype=maps.dtype) for shape in shapes]
    slots = zip(*map(cuts.of, found), strict=True)
    for both, own in zip(all_tiles, slots, strict=True):
        if least is not None:
            least[:] = (min(one, float(tile.amin())) for one, tile in zip(least, both, strict=True))
        for (model, reduce), slot in zip(reductions, own[len(pairs) :], strict=True):
            reduce(both[model], dim=-1, out=slot)
        for (left, right), slot in zip(pairs, own, strict=False):
            torch.bmm(both[left], both[right].mT, out=slot)
    return found


def added_up(parts: Tensor, maps: Maps) -> Tensor:
    """``[B, parts, ...]`` to ``[B, R, ...]``."""
    if maps.by_row:
        return parts.to(maps.kind)
    return parts.sum(dim=1, keepdim=True, dtype=maps.kind)


def _by_kernel(maps: Maps, *, gram: bool) -> Sums:
    from amad_torch.kernels.maps import sums as swept

    given = maps.teacher, maps.student, maps.mask
    return Sums(*swept(*given, by_row=maps.by_row, gram=gram, dtype=maps.kind))


def _peaks(maps: Maps) -> Tensor:
    """The largest cell of each head, ``[B, R, Ht + Hs]``."""
    cuts = maps.tiling(for_sums=True)
    reductions = [(0, torch.amax), (1, torch.amax)]
    highest = _collected(maps, cuts, filled(maps, cuts, None), [], reductions)
    found = torch.cat(highest, dim=-1)
    return found if maps.by_row else found.amax(dim=1, keepdim=True)


def _divisors(peaks: Tensor) -> Tensor:
    return peaks.where(peaks != 0, 1.0)


def _safe(squares: Tensor, dtype: torch.dtype) -> bool:
    """Whether no product of two cells that matter over- or underflows."""
    limits = torch.finfo(dtype)
    least, most = (float(one) for one in torch.aminmax(squares))
    return bool(least > limits.tiny ** (1 / 3) and most < limits.max ** (1 / 3))
