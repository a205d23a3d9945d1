"""Functions that a compiler is not to look into, and is told so only where there is one.

``torch.compiler.allow_in_graph`` and ``disable`` load the whole compiler, which takes a second or
two: too long for ``import amad_torch``.
"""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

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


def untraced(function: Callable[Given, Found]) -> Callable[Given, Found]:
    """A break of the graph, as ``torch.compiler.disable`` has it."""
    name = f"{function.__module__}.{function.__qualname__}"
    UNTRACED[name] = function

    @functools.wraps(function)
    def call(*given: Given.args, **named: Given.kwargs) -> Found:
        if torch.compiler.is_compiling():
            from amad_torch.attention.opaque_in_graphs import DISABLED

            found: Found = DISABLED[name](*given, **named)
            return found
        return function(*given, **named)

    return call
