"""One evaluation: both models, what counts, and the options."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from amad_torch.closed_form.workspace import Workspace
from amad_torch.streaming.blocks import Block
from amad_torch.streaming.heads import divided
from amad_torch.streaming.inputs import Side
from amad_torch.streaming.kept import Kept
from amad_torch.streaming.queries_keys import QueriesKeys
from amad_torch.streaming.rows import BothRows, Room, whole_rows


class Problem(NamedTuple):
    """Checked and widened inputs, cut into blocks.

    Attributes:
        workspace: memory for the cells of a block, the same in all sweeps of a pass.
        counted: boolean, 3 axes that broadcast to ``[B, Q, K]``; ``None``: all cells count.
        kept: rows for a later sweep of the pass; ``None``: there is none.
        for_kernels: the inputs as they came, where kernels take them; there are no blocks then.
    """

    teacher: Side
    student: Side
    variant: str
    temperature: float
    eps: float
    counted: Tensor | None
    blocks: list[Block]
    workspace: Workspace
    kept: Kept | None = None
    for_kernels: tuple[QueriesKeys, QueriesKeys] | None = None

    @property
    def partial(self) -> bool:
        """Whether rows may sum to less than 1."""
        given = (self.teacher.attended, self.student.attended)
        return self.counted is not None or any(
            one.sinks is not None or one.log_sum_exp is not None for one in given
        )

    def keeping(self, *, gradients: bool) -> "Problem":
        """With memory for rows, where a pass has more than one sweep over them."""
        sweeps = {"mse": 1, "token": 0}.get(self.variant, 2) + gradients
        if self.variant == "token" or sweeps < 2 or self.for_kernels is not None:
            return self
        wanted = sum(self._cells(block) for block in self.blocks)
        return self._replace(kept=Kept(self.workspace, self.student.attended, wanted))

    def rows(self, block: Block) -> BothRows:
        """Both models', not to be changed: a later sweep may have them."""
        if self.kept is None:
            return self._rows(block, self.workspace)
        place = block.samples.start, block.queries.start
        if place not in self.kept.rows:
            if not self.kept.has_room(self._cells(block)):
                return self._rows(block, self.workspace)
            self.kept.rows[place] = self._rows(block, self.kept)
        return self.kept.rows[place]

    def _rows(self, block: Block, room: Room) -> BothRows:
        samples, queries, keys = _lengths(block)
        ours, others = (side.attended.shape[1] for side in (self.teacher, self.student))
        maps = room("maps", samples, ours + others, queries, keys)
        teacher, student = (
            whole_rows(side, block, self.workspace, room, into)
            for side, into in zip((self.teacher, self.student), self.by_model(maps), strict=True)
        )
        counted = self.counted_in(block)
        if counted is not None and not self.student.finite:
            # Rows of which no cell counts may be NaN, and would be in the gradient.
            none = ~counted.any(dim=-1, keepdim=True).unsqueeze(1)
            for values in (student.maps, student.sinking):
                if values is not None:
                    values.masked_fill_(none, 0.0)
        return BothRows(maps, teacher, student)

    def _cells(self, block: Block) -> int:
        """Of what is kept of these rows: the maps, and as much again for a soft cap."""
        heads = sum(
            side.attended.shape[1] * (1 if side.attended.softcap is None else 2)
            for side in (self.teacher, self.student)
        )
        return heads * math.prod(_lengths(block))

    def by_model(self, heads: Tensor) -> tuple[Tensor, Tensor]:
        """The teacher's and the student's part of ``[b, Ht + Hs, ...]``."""
        count = self.teacher.attended.shape[1]
        return heads[:, :count], heads[:, count:]

    def compared(self, heads: Tensor, block: Block, sizes: Tensor | None) -> Tensor:
        """``heads`` with 0 where a cell does not count, over ``sizes``, if any, ``[b, H]``."""
        if self.counted is None and sizes is None:
            return heads
        found = self.workspace("compared", *heads.shape)
        if sizes is None:
            return self.keep_counted(heads, block, found)
        divided(heads, sizes, found)
        return self.keep_counted(found, block, found)

    def counted_in(self, block: Block) -> Tensor | None:
        """``[b, q, k]``, axes of length 1 as they are."""
        if self.counted is None:
            return None
        chosen = (
            one if length > 1 else slice(None)
            for one, length in zip(block, self.counted.shape, strict=True)
        )
        return self.counted[tuple(chosen)]

    def keep_counted(self, heads: Tensor, block: Block, into: Tensor) -> Tensor:
        """``[b, H, q, k]`` with 0 where a cell does not count, in the memory of ``into``."""
        counted = self.counted_in(block)
        if counted is None:
            return heads
        if self.teacher.finite and self.student.finite:
            ones = counted.unsqueeze(1).to(heads.dtype)
            return torch.mul(heads, ones, out=into)  # ten times as fast
        if into is not heads:
            into.copy_(heads)
        return into.masked_fill_(~counted.unsqueeze(1), 0.0)


def _lengths(block: Block) -> list[int]:
    return [one.stop - one.start for one in block]
