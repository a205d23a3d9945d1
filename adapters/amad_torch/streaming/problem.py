"""One evaluation: both models, what counts, and the options."""

from typing import NamedTuple

from torch import Tensor

from amad_torch.closed_form.workspace import Workspace
from amad_torch.streaming.blocks import Block
from amad_torch.streaming.inputs import Side
from amad_torch.streaming.queries_keys import QueriesKeys


class Problem(NamedTuple):
    """Checked and widened inputs, cut into blocks.

    Attributes:
        workspace: memory for the cells of a block, the same in all sweeps of a pass.
        counted: boolean, 3 axes that broadcast to ``[B, Q, K]``; ``None``: all cells count.
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
    for_kernels: tuple[QueriesKeys, QueriesKeys] | None = None

    @property
    def partial(self) -> bool:
        """Whether rows may sum to less than 1."""
        given = (self.teacher.attended, self.student.attended)
        return self.counted is not None or any(
            one.sinks is not None or one.log_sum_exp is not None for one in given
        )

    def counted_in(self, block: Block) -> Tensor | None:
        """``[b, q, k]``, axes of length 1 as they are."""
        if self.counted is None:
            return None
        chosen = (
            one if length > 1 else slice(None)
            for one, length in zip(block, self.counted.shape, strict=True)
        )
        return self.counted[tuple(chosen)]

    def keep_counted(self, heads: Tensor, block: Block) -> None:
        """Put 0 into ``[b, H, q, k]`` where a cell does not count."""
        counted = self.counted_in(block)
        if counted is None:
            return
        if self.teacher.finite and self.student.finite:
            heads.mul_(counted.unsqueeze(1).to(heads.dtype))  # ten times as fast
        else:
            heads.masked_fill_(~counted.unsqueeze(1), 0.0)
