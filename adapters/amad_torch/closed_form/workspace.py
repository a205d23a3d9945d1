"""Memory that the blocks of a sweep share."""

import math

import torch
from torch import Tensor


class Workspace:
    """Memory by name: what one block has used, the next one uses again.

    A new tensor for each block would cost more in page faults than what is computed in it.
    """

    def __init__(self, like: Tensor, dtype: torch.dtype) -> None:
        self._like, self._dtype = like, dtype
        self._held: dict[str, Tensor] = {}

    def __call__(self, name: str, *shape: int) -> Tensor:
        """A contiguous tensor of this shape, uninitialised; the last one of this name is gone."""
        cells = math.prod(shape)
        held = self._held.get(name)
        if held is None or held.numel() < cells:
            held = self._held[name] = self._like.new_empty(cells, dtype=self._dtype)
        return held[:cells].view(shape)
