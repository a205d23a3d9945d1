"""Rows that stay from one sweep to the next, as far as a fixed amount of memory goes."""

import math

from torch import Tensor

from amad_torch.closed_form.workspace import Workspace
from amad_torch.streaming.queries_keys import QueriesKeys
from amad_torch.streaming.rows import BothRows

_BYTES = 2**28
"""Of rows and gradients, whatever the number of tokens: both maps of 20 heads of 1700 tokens."""

_GRADIENTS = 4
"""So many times as large as queries and keys is what the backward pass has at its peak: gradients,
their products with what comes from above, and keys laid out anew."""


class Kept:
    """What is here is not computed again; what does not fit is.

    A sweep that reads a cell again takes a third of the time of one that computes it.
    """

    def __init__(self, workspace: Workspace, student: QueriesKeys, cells: int) -> None:
        """Memory for so many cells, or as many as gradients of the student leave room for."""
        learned = student.queries.numel() + student.keys.numel()
        most = _BYTES // student.queries.element_size() - _GRADIENTS * learned
        self._memory = workspace("rows that stay", max(0, min(cells, most)))
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
