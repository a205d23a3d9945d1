"""The values that attention probabilities meet."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Axes = tuple[int, ...]
"""Of a tensor that maps became: which axis of the maps each of its axes is."""

_TURNED = {"transpose", "swapaxes"}
_SHAPES = {"view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "__getitem__"}


def axes_after(
    axes: Axes | None,
    name: str,
    tensor: Tensor,
    output: Tensor,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Axes | None:
    """The axes after a function; ``None`` where they cannot be followed."""
    if axes is None:
        return None
    if name in _TURNED:
        one, other = (*args[1:], *(kwargs[name] for name in ("dim0", "dim1") if name in kwargs))
        turned = list(axes)
        turned[one], turned[other] = turned[other], turned[one]
        return tuple(turned)
    if name == "permute":
        order = kwargs.get("dims", args[1:])
        order = order[0] if len(order) == 1 and isinstance(order[0], Sequence) else order
        return tuple(axes[one] for one in order)
    if name in _SHAPES and output.dim() != tensor.dim():
        # Leading axes that are split or joined change nothing for queries and keys.
        same = axes == tuple(range(tensor.dim())) and output.shape[-2:] == tensor.shape[-2:]
        return tuple(range(output.dim())) if same else None
    return axes


def values_in(name: str, factor: Tensor, axes: Axes | None, args: tuple[Any, ...]) -> Tensor | None:
    """The values ``[..., K, d]`` of a product of them and ``factor``, which maps became.

    ``None`` where the product cannot be read as a sum over keys.
    """
    if axes is None:
        return None
    if name == "einsum":
        return _einsum(factor, axes, args)
    left, right = args[1:3] if name == "baddbmm" else args[:2]
    if name == "__rmatmul__":
        left, right = right, left
    lead = tuple(range(len(axes) - 2))
    rows, columns = len(axes) - 2, len(axes) - 1
    if factor is left and axes == (*lead, rows, columns):
        return right if right.dim() >= 3 else None
    if factor is right and axes == (*lead, columns, rows):
        return left.transpose(-1, -2) if left.dim() >= 3 else None
    return None


def _einsum(factor: Tensor, axes: Axes, args: tuple[Any, ...]) -> Tensor | None:
    equation = args[0]
    operands = args[1] if len(args) == 2 and isinstance(args[1], tuple | list) else args[1:]
    if not isinstance(equation, str) or "->" not in equation or "." in equation:
        return None
    inputs, result = equation.replace(" ", "").split("->")
    names = inputs.split(",")
    place = int(operands[-1] is factor)
    if len(names) != 2 or len(operands) != 2 or len(axes) != len(names[place]):
        return None
    of_maps, of_values, values = names[place], names[1 - place], operands[1 - place]
    by_axis = dict(zip(axes, of_maps, strict=True))
    *lead, query, key = (by_axis[axis] for axis in sorted(by_axis))
    width = [one for one in of_values if one not in of_maps]
    if len(width) != 1 or key not in of_values or query in of_values or key in result:
        return None
    shared = "".join(one for one in lead if one in of_values)
    if shared != "".join(lead) and shared != lead[0]:
        return None
    ordered = torch.einsum(f"{of_values}->{shared}{key}{width[0]}", values)
    return ordered if len(shared) == len(lead) else ordered.unsqueeze(1)
