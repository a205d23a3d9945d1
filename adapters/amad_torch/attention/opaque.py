"""Functions that a compiler is not to look into, and is told so only where there is one.

``torch.compiler.allow_in_graph`` and ``disable`` load the whole compiler, which takes a second or
two: too long for ``import amad_torch``.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Found = TypeVar("Found")

NODES: list[Callable[..., object]] = []
UNTRACED: dict[str, Callable[..., object]] = {}
"""For :mod:`amad_torch.attention.opaque_in_graphs`."""


def node(function: Callable[Given, Found]) -> Callable[Given, Found]:
    """One node of a graph, as ``torch.compiler.allow_in_graph`` has it.

    Before a call in a graph, the caller imports the module above.
    """
    NODES.append(function)
    return function
