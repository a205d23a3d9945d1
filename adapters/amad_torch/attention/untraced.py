"""Functions that break a graph: the decorator for those in ``opaque.UNTRACED``."""

import functools
from collections.abc import Callable

import torch

from amad_torch.attention.opaque import UNTRACED, Found, Given


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
