"""Memory for a gradient: as torch gives it, or, if large, memory that gradients have in turn."""

import math
import mmap
import weakref
from collections import deque
from contextlib import suppress

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Bytes = npt.NDArray[np.uint8]

_LARGE = 2**19
"""Bytes of which to have new ones takes as long as what is computed in them."""

_LARGE_PAGE = 2**21

_KEPT, _MOST = 2, 2**25
"""So many free pieces, of at most so many bytes each, wait for the next gradient: 67 MB."""

_free: deque[Bytes] = deque(maxlen=_KEPT)
"""Used by all threads, without a lock: a gradient may end in the midst of any line of Python."""


def memory_like(maps: Tensor) -> Tensor:
    """Uninitialised and contiguous, of the shape and dtype of ``maps``.

    On a CPU a large gradient leaves its memory to the next one, once no tensor has it any longer.
    The system fills new pages with zeros when they are first written to; and an allocator that
    gets a large piece back may tidy up whatever others left, before it goes on.
    """
    size = math.prod(maps.shape) * maps.element_size()
    if maps.device.type != "cpu" or size < _LARGE:
        return torch.empty_like(maps, memory_format=torch.contiguous_format)
    memory = _freed(size)
    if memory is None:
        memory = new_memory(size)
    own = memory[:size]  # the tensor and its views keep this array, and nobody else does
    if len(memory) <= _MOST:
        weakref.finalize(own, _free.append, memory).atexit = False
    return torch.from_numpy(own).view(maps.dtype).view(maps.shape)


def new_memory(size: int) -> Bytes:
    """Uninitialised, from a line of the cache on; on Linux in pages of 2 MiB, if large.

    Only as far as it fills them, so that no page is there for nothing.
    """
    if size < _LARGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.empty(size, dtype=torch.uint8, device="cpu").numpy()
    room = mmap.mmap(-1, size + _LARGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    whole = np.frombuffer(room, np.uint8)
    start = -whole.ctypes.data % _LARGE_PAGE
    with suppress(OSError):  # a system without them
        room.madvise(mmap.MADV_HUGEPAGE, start, size - size % _LARGE_PAGE)
    return whole[start : start + size]


def _freed(size: int) -> Bytes | None:
    """One that waits, of this size or up to a quarter more."""
    for _ in range(_KEPT):
        try:
            memory = _free.pop()
        except IndexError:
            break
        if size <= len(memory) <= size * 5 // 4:
            return memory
        _free.appendleft(memory)
    return None
