"""Which module runs, and whether it attends to itself: hooks for the time of a capture."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_CROSS = re.compile(r"cross|encoder_attn|enc_?dec|encoder_decoder|multihead_attn", re.IGNORECASE)
"""How models call attention to something else, where nothing else tells."""


class Frame:
    """A module that is running, and what its children were given so far."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        # Storage of the first floating-point input that a child took, by child; a child that makes
        # queries and keys at once counts twice.
        self._given: dict[int, int] = {}
        # Kept as long as the module runs: a storage's address is its own only while it lives.
        self._made: list[Tensor] = []
        self._taken: list[Tensor] = []
        self._storages_made: set[int] = {0}

    def saw(self, child: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        """A child has run."""
        if not child._parameters and next(child.parameters(), None) is None:
            return
        inputs = [one for one in given if isinstance(one, Tensor) and one.is_floating_point()]
        outputs = output if isinstance(output, tuple | list) else (output,)
        made = [one for one in outputs if isinstance(one, Tensor)]
        if inputs and id(child) not in self._given:
            storage = _storage(inputs[0])
            # What another child has made (low-rank chains, norms of queries) is no source.
            if storage not in self._storages_made:
                self._given[id(child)] = storage
                if made and made[0].dim() and made[0].size(-1) == 3 * inputs[0].size(-1):
                    # Queries, keys and values at once; what else is projected are positions.
                    self._given[-id(child)] = storage
        self._made += made
        self._storages_made.update(map(_storage, made))
        self._taken += inputs[:1]

    def sources(self) -> tuple[int, ...]:
        """What children took from outside: nor is what the module holds itself a source
        (coordinates of relative positions)."""
        if not self._given:
            return ()
        held = {_storage(one) for one in (*self.module.parameters(), *self.module.buffers())}
        return tuple(storage for storage in self._given.values() if storage not in held)


class Running:
    """The modules that run, the innermost last."""

    def __init__(self, paths: dict[int, str]) -> None:
        self._paths = paths
        self._frames: list[Frame] = []

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Hooks on all modules of this process, until the end of the block."""
        from torch.nn.modules import module as modules

        before = modules.register_module_forward_pre_hook(self._enter)
        after = modules.register_module_forward_hook(self._leave, always_call=True)
        try:
            yield
        finally:
            before.remove()
            after.remove()
            self._frames.clear()

    @property
    def innermost(self) -> nn.Module | None:
        """The module that runs, of those of the model."""
        return self._frames[-1].module if self._frames else None

    def sources(self) -> tuple[int, ...]:
        """What the first two children of the innermost module that has any took from outside.

        Asked for when the scores are there: what runs later works on probabilities or values.
        """
        for frame in reversed(self._frames):
            if found := frame.sources():
                return found[:2]
        return ()

    def _enter(self, module: nn.Module, given: tuple[Any, ...]) -> None:
        if id(module) in self._paths and torch._C._current_graph_task_id() == -1:
            self._frames.append(Frame(module))

    def _leave(self, module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        if self._frames and self._frames[-1].module is module:
            self._frames.pop()
            if self._frames:
                with torch._C.DisableTorchFunction():  # a function mode need not see what we ask
                    self._frames[-1].saw(module, given, output)


def kind_of(module: nn.Module, path: str, sources: tuple[int, ...]) -> str:
    """``"cross"`` where queries and keys come from different inputs; by name where that is unknown,
    as with cached keys."""
    if len(sources) == 2:
        return "cross" if sources[0] != sources[1] else "self"
    named = bool(_CROSS.search(path) or _CROSS.search(type(module).__name__))
    return "cross" if named or getattr(module, "is_cross_attention", False) is True else "self"


def in_reentrant_checkpoint() -> bool:
    """Whether what runs now runs without a graph, to be run again in the backward pass."""
    if torch.is_grad_enabled():
        return False
    code = torch.utils.checkpoint.CheckpointFunction.forward.__code__
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code is code:
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _storage(tensor: Tensor) -> int:
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # subclasses without storage
        return 0
