"""Memory for a gradient: as torch gives it, or in large pages."""

import math

import numpy as np
import torch
from torch import Tensor

_LARGE = 2**22
"""Bytes from which NumPy asks for large pages."""


def memory_like(maps: Tensor) -> Tensor:
    """Uninitialised and contiguous, of the shape and dtype of ``maps``.

    A large tensor lies in fresh memory, and on a CPU every page of 4 KiB that is first written to
    costs more than all that is computed in it. NumPy asks the system (Linux) for pages of 2 MiB.
    """
    size = math.prod(maps.shape) * maps.element_size()
    if maps.device.type != "cpu" or size < _LARGE:
        return torch.empty_like(maps, memory_format=torch.contiguous_format)
    return torch.from_numpy(np.empty(size, np.uint8)).view(maps.dtype).view(maps.shape)
