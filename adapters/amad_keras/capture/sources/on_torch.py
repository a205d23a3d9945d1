"""Every function of PyTorch that a Keras layer calls, by a function mode.

Modes are PyTorch's own way to see calls, operators and methods included; they stand above its
autograd, so that what they see has its gradient.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from amad_keras.capture.operation import Operation, Watcher
from amad_keras.capture.tensors import Tensor, rank

ELSEWHERE = "a compiled function ran it, or Keras did to build its layers"
SOFTMAX = "keras.ops.softmax, torch.softmax"

_WORDS = {
    "BatchMatMul": ("matmul", "__matmul__", "bmm"),
    "Einsum": ("einsum",),
    "Mul": ("mul", "__mul__", "__rmul__", "multiply", "__imul__", "mul_"),
    "RealDiv": ("div", "__truediv__", "true_divide", "divide", "__itruediv__", "div_"),
    "AddV2": ("add", "__add__", "__radd__", "__iadd__", "add_"),
    "Sub": ("sub", "__sub__", "subtract", "__isub__", "sub_"),
    "Tanh": ("tanh",),
    "SelectV2": ("where", "masked_fill", "masked_fill_"),
    "Reshape": ("reshape", "view", "flatten", "unflatten", "view_as", "reshape_as"),
    "ExpandDims": ("unsqueeze",),
    "Squeeze": ("squeeze",),
    "Transpose": ("permute", "transpose", "swapaxes", "swapdims", "movedim", "t"),
    "BroadcastTo": ("expand", "broadcast_to", "expand_as"),
    "Repeat": ("repeat_interleave",),
    "Cast": ("to", "type", "type_as", "float", "half", "bfloat16", "double"),
    "Identity": ("contiguous", "clone", "detach"),
    "ConcatV2": ("cat", "concat", "concatenate"),
    "StridedSlice": ("__getitem__",),
    "MatMul": ("linear", "mm", "addmm", "tensordot", "baddbmm"),
    "Conv2D": ("conv1d", "conv2d", "conv3d"),
    "Random": ("rand", "rand_like", "randn", "bernoulli", "bernoulli_", "uniform_"),
    "Dropout": ("dropout", "dropout_", "alpha_dropout"),
    "FusedAttention": ("scaled_dot_product_attention",),
}
_TYPES = {name: kind for kind, names in _WORDS.items() for name in names}
_SWAPPED = {"__rmatmul__": "BatchMatMul", "__rtruediv__": "RealDiv", "__rsub__": "Sub"}


class _Mode(TorchFunctionMode):
    def __init__(self, watcher: Watcher) -> None:
        super().__init__()
        self._watcher = watcher

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        outputs = func(*args, **(kwargs or {}))
        made = [one for one in _flat(outputs) if isinstance(one, torch.Tensor)]
        if made:
            self._watcher(_translated(_name(func), args, kwargs or {}, made))
        return outputs


@contextmanager
def operations_watched(watcher: Watcher) -> Iterator[None]:
    """Calls ``watcher`` with every operation of this thread, until the end of the block."""
    with _Mode(watcher):
        yield


def current_graph() -> Any:
    """There are no graphs."""
    return None


def static_value(tensor: Tensor) -> Any:
    """The number or array of up to 8 cells that a tensor holds; ``None`` on the meta device."""
    if tensor.is_meta or tensor.numel() > 8:
        return None
    tensor = tensor.detach()
    return (tensor.double() if tensor.is_floating_point() else tensor).cpu().numpy()


def is_symbolic(tensor: Tensor) -> bool:
    """Whether its values are not there to be looked at."""
    return bool(tensor.is_meta)


def number_in(tensor: Tensor) -> float | None:
    """Nothing is known of what a meta tensor is filled with."""
    return None


def is_weight(tensor: Tensor, layers: tuple[Any, ...]) -> bool:
    """Whether it is a variable of a layer, as Keras keeps them."""
    return isinstance(tensor, torch.nn.Parameter)


def cuts_gradients() -> bool:
    """Checkpointing keeps gradients of what it runs."""
    return False


def _graph(made: list[Tensor]) -> Any:
    """Keras builds layers by running them on the meta device, which counts as no run."""
    return "meta" if made[0].is_meta else None


def _name(func: Any) -> str:
    name = getattr(func, "__name__", "")
    return getattr(func.__self__, "__name__", "") if name == "__get__" else name


def _translated(name: str, args: Any, kwargs: dict[str, Any], made: list[Tensor]) -> Operation:
    given = list(args)
    kind = _TYPES.get(name, name)
    attributes: dict[str, Any] = {}
    if name in _SWAPPED:
        kind, given = _SWAPPED[name], given[::-1]
    if kind == "FusedAttention":
        return _fused(args, kwargs, made)
    if name == "linear":
        attributes["transpose_b"] = True
    if kind == "Einsum":
        attributes["equation"] = given.pop(0)
    elif kind == "SelectV2":
        names = ("condition", "input", "other") if name == "where" else ("input", "mask", "value")
        whole = dict(zip(names, given, strict=False)) | kwargs
        given = [whole[one] for one in names if one in whole]
        if name != "where" and len(given) == 3:
            given = [given[1], given[2], given[0]]
    elif kind == "Softmax" or name in ("softmax", "_softmax"):
        dim = kwargs.get("dim", given[1] if len(given) > 1 else None)
        kind, attributes["axis"] = "Softmax", -1 if dim is None else int(dim)
    elif kind == "ConcatV2":
        axis = kwargs.get("dim", kwargs.get("axis", given[1] if len(given) > 1 else 0))
        given = [*given[0], axis]
    elif kind == "Transpose" or name in ("mT", "T", "mH"):
        kind, given = "Transpose", [given[0], _order(name, given, kwargs)]
    elif kind == "Repeat":
        times = kwargs.get("repeats", given[1] if len(given) > 1 else None)
        axis = kwargs.get("dim", given[2] if len(given) > 2 else None)
        kind = kind if isinstance(times, int) and isinstance(axis, int) else "repeats"
        attributes |= {"times": times, "axis": axis}
    elif kwargs.get("alpha", 1) != 1 or kwargs.get("rounding_mode"):
        kind = name
    named = [value for value in kwargs.values() if isinstance(value, torch.Tensor)]
    inputs = [*given, *(named if kind != "SelectV2" else [])]
    tensors = [_constant(one) for one in _flat(inputs)]
    return Operation(
        kind, [one for one in tensors if one is not None], made, attributes, _graph(made)
    )


def _fused(args: Any, kwargs: dict[str, Any], made: list[Tensor]) -> Operation:
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale")
    given = dict(zip(names, args, strict=False)) | kwargs
    vectors = [given[name] for name in names[:3]]
    attributes = {
        "mask": given.get("attn_mask"),
        "is_causal": given.get("is_causal", False),
        "scale": given.get("scale"),
        "heads": -3,
    }
    return Operation("FusedAttention", vectors, made, attributes, _graph(made))


def _order(name: str, given: list[Any], kwargs: dict[str, Any]) -> Any:
    """The order of axes, by moving those of an empty array whose lengths tell them apart."""
    axes = rank(given[0]) or 0
    lengths = np.empty(range(1, axes + 1))
    rest = [*given[1:], *kwargs.values()]
    if name == "permute":
        order = rest[0] if len(rest) == 1 and not isinstance(rest[0], int) else rest
        moved = lengths.transpose(order)
    elif name == "movedim":
        moved = np.moveaxis(lengths, *rest)
    else:
        moved = np.swapaxes(lengths, *(rest or (-2, -1)))
    return np.array(moved.shape) - 1


def _flat(values: Any) -> list[Any]:
    if isinstance(values, list | tuple):
        return [one for value in values for one in _flat(value)]
    return [values]


def _constant(value: Any) -> Any:
    """Tensors as they are, numbers and arrays as arrays, all else as nothing."""
    if isinstance(value, torch.Tensor | np.ndarray):
        return value
    is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return np.asarray(value) if is_number else None
