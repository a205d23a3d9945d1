"""Rows that stay from one sweep to the next, as far as a fixed amount of memory goes."""

import math

from torch import Tensor

from amad_torch.closed_form.workspace import Workspace
from amad_torch.streaming.rows import BothRows

_BYTES = {"cpu": 2**27}
"""At most, whatever the number of tokens: 20 heads' rows of 1295 tokens, in float32."""

_BYTES_ELSEWHERE = 2**28


class Kept:
    """What is here is not computed again; what does not fit is.

    A sweep that reads a cell again takes a third of the time of one that computes it.
    """

    def __init__(self, workspace: Workspace, like: Tensor, cells: int) -> None:
        """Memory for so many cells, in the dtype of ``like``, if that is not too much."""
        most = _BYTES.get(like.device.type, _BYTES_ELSEWHERE) // like.element_size()
        self._memory = workspace("rows that stay", min(cells, most))
        self._used = 0
        self.rows: dict[tuple[int, int], BothRows] = {}

    def has_room(self, cells: int) -> bool:
        """Whether so many more fit."""
        return self._used + cells <= len(self._memory)

    def __call__(self, name: str, *shape: int) -> Tensor:
        """Memory of this shape that nobody else gets, by a name that does not matter."""
        start = self._used
        self._used += math.prod(shape)
        return self._memory[start : self._used].view(shape)
