"""Tied weights in a state dictionary: each tensor once, and whole again when loaded."""

from typing import Any

from torch import Tensor, nn


def without_tied_copies(module: nn.Module) -> None:
    """Leave further names of a tensor out of ``module.state_dict()``, fill them in on loading.

    Formats that store memory once (safetensors) refuse a dictionary that names it twice.
    """
    module.register_state_dict_post_hook(_leave_out)  # type: ignore[no-untyped-call]
    module.register_load_state_dict_pre_hook(_fill_in)  # type: ignore[no-untyped-call]


def _leave_out(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    for copy in _copies(module):
        state.pop(prefix + copy, None)


def _fill_in(module: nn.Module, state: dict[str, Any], prefix: str, *others: Any) -> None:
    for copy, first in _copies(module).items():
        if prefix + first in state:
            state.setdefault(prefix + copy, state[prefix + first])


def _copies(module: nn.Module) -> dict[str, str]:
    """Further names of parameters that are one, by the name that stays."""
    first: dict[int, str] = {}
    copies: dict[str, str] = {}
    named: list[tuple[str, Tensor]] = [
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ]
    for name, tensor in named:
        if id(tensor) in first:
            copies[name] = first[id(tensor)]
        else:
            first[id(tensor)] = name
    return copies
