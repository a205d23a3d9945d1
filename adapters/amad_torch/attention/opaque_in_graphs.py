"""Tells the compiler of opaque functions: to be imported where a graph is traced.

An import is carried out, not traced, so it happens once and before the call that follows it.
"""

from typing import Any

import torch

from amad_torch.attention.opaque import NODES, UNTRACED

for _function in NODES:
    torch.compiler.allow_in_graph(_function)  # type: ignore[no-untyped-call]

DISABLED: dict[str, Any] = {
    name: torch.compiler.disable(function)  # type: ignore[no-untyped-call]
    for name, function in UNTRACED.items()
}
