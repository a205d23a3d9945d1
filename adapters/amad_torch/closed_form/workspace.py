"""Memory that the blocks of a sweep share."""

import math
import threading

import torch
from torch import Tensor

from amad_torch.closed_form.memory import new_memory

_VIEWS = 1000
"""So many are remembered: sequences of all lengths have a shape each."""


class Workspace:
    """Memory by name: what one block has used, the next one uses again.

    A new tensor for each block would cost more in page faults than what is computed in it.
    """

    def __init__(self, like: Tensor, dtype: torch.dtype) -> None:
        self._like, self._dtype = like.new_empty(0), dtype
        self._held: dict[str, Tensor] = {}
        self._views: dict[tuple[object, ...], Tensor] = {}

    def __call__(self, name: str, *shape: int) -> Tensor:
        """A contiguous tensor of this shape, uninitialised; the last one of this name is gone."""
        view = self._views.get((name, shape))
        if view is not None:
            return view
        cells = math.prod(shape)
        held = self._held.get(name)
        if len(self._views) >= _VIEWS:
            self._views.clear()
        if held is None or held.numel() < cells:
            held = self._held[name] = uninitialised(cells, self._like, self._dtype)
            self._views = {key: one for key, one in self._views.items() if key[0] != name}
        self._views[name, shape] = view = held[:cells].view(shape)
        return view


def uninitialised(cells: int, like: Tensor, dtype: torch.dtype) -> Tensor:
    """So many cells where ``like`` is; on a CPU they begin with a line of the cache.

    Vectors that lie across two are loaded twice.
    """
    if like.device.type != "cpu" or cells == 0:
        return like.new_empty(cells, dtype=dtype)
    return torch.from_numpy(new_memory(cells * dtype.itemsize)).view(dtype)


def kept_workspace(like: Tensor, dtype: torch.dtype) -> Workspace:
    """On a CPU one that a thread keeps: each call would fault its pages anew.

    Some megabytes from maps; from queries and keys a block, and the rows that sweeps share.
    """
    if like.device.type != "cpu":
        return Workspace(like, dtype)
    # What is made in inference mode cannot be written to outside.
    key = dtype, torch.is_inference_mode_enabled()
    if key not in _kept.workspaces:
        _kept.workspaces[key] = Workspace(like, dtype)
    return _kept.workspaces[key]


class _Kept(threading.local):
    def __init__(self) -> None:
        self.workspaces: dict[tuple[torch.dtype, bool], Workspace] = {}


_kept = _Kept()
