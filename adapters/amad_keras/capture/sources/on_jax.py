"""Every primitive of JAX that a Keras layer binds, at once or as it is traced.

While something watches, primitives report when they are bound, functions that are compiled by
themselves are taken apart into theirs, and two functions of ``jax.nn`` report as a whole.
"""

import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from string import ascii_letters
from typing import Any

import jax
import numpy as np
from keras.src.backend.common.stateless_scope import get_stateless_scope, in_stateless_scope

from amad_keras.capture.operation import Operation, Watcher
from amad_keras.capture.tables import Table
from amad_keras.capture.tensors import Tensor

try:
    from jax.extend.core import Primitive, get_opaque_trace_state, jaxpr_as_fun
except ImportError as error:
    raise ImportError(
        "capture of attention watches JAX through jax.extend.core, whose Primitive, "
        f"get_opaque_trace_state and jaxpr_as_fun jax {jax.__version__} does not have; jax 0.10 "
        "has"
    ) from error

ELSEWHERE = (
    "jax.grad, jax.vmap, jax.checkpoint (keras.RematScope), fit, or jax.lax.cond, scan or "
    "while_loop ran it"
)
SOFTMAX = "keras.ops.softmax, jax.nn.softmax"

_TYPES = {
    "mul": "Mul", "div": "RealDiv", "add": "AddV2", "add_any": "AddV2", "sub": "Sub",
    "tanh": "Tanh", "reshape": "Reshape", "squeeze": "Squeeze", "transpose": "Transpose",
    "convert_element_type": "Cast", "copy": "Identity", "copy_p": "Identity", "stage": "Identity",
    "reduce_precision": "Cast", "stop_gradient": "StopGradient", "slice": "StridedSlice",
    "concatenate": "ConcatV2", "conv_general_dilated": "Conv2D",
}  # fmt: skip


class _Watching(threading.local):
    def __init__(self) -> None:
        self.all: list[Watcher] = []
        self.is_inside = False


_watching = _Watching()
_lock = threading.Lock()
_captures = 0
_originals: dict[str, Any] = {}
_numbers = Table()
"""The number that a traced tensor holds throughout, where it was made of constants."""


@contextmanager
def operations_watched(watcher: Watcher) -> Iterator[None]:
    """Calls ``watcher`` with every operation of this thread, until the end of the block."""
    _install()
    _watching.all.append(watcher)
    try:
        # What is compiled runs unseen, unless it is part of a trace.
        is_staged = _is_traced(jax.numpy.zeros(()))
        is_disabled = jax.config.jax_disable_jit  # type: ignore[attr-defined]
        with jax.disable_jit(is_disabled or not is_staged):
            yield
    finally:
        _watching.all.remove(watcher)
        _uninstall()


def _install() -> None:
    global _captures
    with _lock:
        if not _captures:
            _originals["bind"] = Primitive.bind
            Primitive.bind = _bind  # type: ignore[assignment, method-assign]
            for name, watched in (("softmax", _softmax), ("dot_product_attention", _fused)):
                if hasattr(jax.nn, name):
                    _originals[name] = getattr(jax.nn, name)
                    setattr(jax.nn, name, watched(_originals[name]))
        _captures += 1


def _uninstall() -> None:
    global _captures
    with _lock:
        _captures -= 1
        if not _captures:
            Primitive.bind = _originals.pop("bind")  # type: ignore[method-assign]
            for name in tuple(_originals):
                setattr(jax.nn, name, _originals.pop(name))


def current_graph() -> Any:
    """The trace that operations enter now."""
    return get_opaque_trace_state()  # type: ignore[no-untyped-call]


def static_value(tensor: Tensor) -> Any:
    """The number or array of up to 8 cells that a tensor holds, where that is known now."""
    is_key = hasattr(tensor, "dtype") and jax.numpy.issubdtype(tensor.dtype, jax.dtypes.extended)
    if is_key or np.size(tensor) > 8:
        return None
    if not _is_traced(tensor):
        return np.asarray(tensor)
    number = _numbers[tensor]
    return None if number is None else np.full(np.shape(tensor), number)


def is_symbolic(tensor: Tensor) -> bool:
    """Whether its values are not there to be looked at."""
    return _is_traced(tensor)


def number_in(tensor: Tensor) -> float | None:
    """The one number that a symbolic tensor is filled with, where that is known."""
    number: float | None = _numbers[tensor]
    return number


def is_weight(tensor: Tensor, layers: tuple[Any, ...]) -> bool:
    """Whether it is the value of a variable of the layers that are running."""
    scope = get_stateless_scope() if in_stateless_scope() else None
    for one in layers:
        for variable in (*one.caller._trainable_variables, *one.caller._non_trainable_variables):
            value = None if scope is None else scope.get_current_value(variable)
            if tensor is (variable._value if value is None else value):
                return True
    return False


def cuts_gradients() -> bool:
    """Rematerialization is another trace."""
    return False


def _is_traced(tensor: Tensor) -> bool:
    return isinstance(tensor, jax.core.Tracer)


def _bind(primitive: Any, *args: Any, **params: Any) -> Any:
    bind = _originals.get("bind") or Primitive.bind
    if _watching.is_inside or not _watching.all:
        return bind(primitive, *args, **params)
    if primitive.name in ("jit", "pjit") and _is_plain(params):
        return jaxpr_as_fun(params["jaxpr"])(*args)
    made = _alone(bind, primitive, *args, **params)
    outputs = list(made) if primitive.multiple_results else [made]
    number = _number(primitive, args, params)
    if number is not None:
        _numbers[outputs[0]] = number
    _tell(*_translated(primitive.name, args, params, outputs), outputs)
    return made


def _is_plain(params: dict[str, Any]) -> bool:
    """Whether a compiled function says nothing of devices or memory."""
    unsaid = "UnspecifiedValue"
    shardings = (*params.get("in_shardings", ()), *params.get("out_shardings", ()))
    return not any(params.get("donated_invars", ())) and all(
        type(one).__name__ == unsaid for one in shardings
    )


def _alone(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Runs a function without telling of what it consists of."""
    _watching.is_inside = True
    try:
        return function(*args, **options)
    finally:
        _watching.is_inside = False


def _tell(
    kind: str, inputs: Sequence[Tensor], attributes: dict[str, Any], outputs: list[Tensor]
) -> None:
    operation = Operation(kind, inputs, outputs, attributes, current_graph())
    for watcher in tuple(_watching.all):
        _alone(watcher, operation)


def _number(primitive: Any, args: Any, params: dict[str, Any]) -> float | None:
    """What a primitive makes of one number, or fills a tensor with."""
    known: Any = [static_value(one) if np.ndim(one) == 0 else None for one in args]
    if not known or any(one is None or one.dtype.kind not in "fiu" for one in known):
        return None
    if primitive.name == "broadcast_in_dim":
        return float(known[0])
    if primitive.multiple_results or params.get("shape"):
        return None
    with jax.ensure_compile_time_eval():
        made = _alone(_originals["bind"], primitive, *known, **params)
    is_number = getattr(getattr(made, "dtype", None), "kind", "?") in "fiu"  # keys have no kind
    return float(made) if is_number and np.ndim(made) == 0 else None


def _translated(
    name: str, args: Any, params: dict[str, Any], outputs: list[Tensor]
) -> tuple[str, list[Tensor], dict[str, Any]]:
    inputs = [one if isinstance(one, jax.Array | np.ndarray) else np.asarray(one) for one in args]
    if name == "dot_general":
        return "Einsum", inputs, {"equation": _equation(inputs, params["dimension_numbers"])}
    if name == "select_n" and len(inputs) == 3:
        return "SelectV2", [inputs[0], inputs[2], inputs[1]], {}
    if name == "transpose":
        return "Transpose", [*inputs, np.array(params["permutation"])], {}
    if name == "concatenate":
        return "ConcatV2", [*inputs, np.array(params["dimension"])], {}
    if name == "broadcast_in_dim":
        before = [1] * len(params["shape"])
        for axis, length in zip(params["broadcast_dimensions"], inputs[0].shape, strict=True):
            before[axis] = length
        same = np.size(inputs[0]) == np.size(outputs[0])
        return ("Reshape" if same else "BroadcastTo"), inputs, {"before": before}
    if any(word in name for word in ("random", "threefry")):
        return "Random", inputs, {}
    return _TYPES.get(name, name), inputs, {}


def _equation(inputs: list[Tensor], dimensions: Any) -> str:
    (left_summed, right_summed), (left_kept, right_kept) = dimensions
    left = list(ascii_letters[: len(inputs[0].shape)])
    right = list(ascii_letters[26 : 26 + len(inputs[1].shape)])
    for one, other in zip((*left_summed, *left_kept), (*right_summed, *right_kept), strict=True):
        right[other] = left[one]
    rest = [axis for axis in range(len(left)) if axis not in (*left_summed, *left_kept)]
    others = [axis for axis in range(len(right)) if axis not in (*right_summed, *right_kept)]
    made = [*(left[a] for a in left_kept), *(left[a] for a in rest), *(right[a] for a in others)]
    return f"{''.join(left)},{''.join(right)}->{''.join(made)}"


def _softmax(softmax: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(softmax)
    def watched(x: Any, axis: Any = -1, **options: Any) -> Any:
        if _watching.is_inside or not _watching.all or options.get("where") is not None:
            return softmax(x, axis=axis, **options)
        made = _alone(softmax, x, axis=axis, **options)
        name = "Softmax" if isinstance(axis, int) else "softmax of several axes"
        _tell(name, [x], {"axis": axis}, [made])
        return made

    return watched


def _fused(attention: Callable[..., Any]) -> Callable[..., Any]:
    parameters = inspect.signature(attention)

    @wraps(attention)
    def watched(*args: Any, **options: Any) -> Any:
        given = parameters.bind(*args, **options).arguments
        further = ("query_seq_lengths", "key_value_seq_lengths", "local_window_size")
        is_whole = not any(given.get(name) is not None for name in further)
        if _watching.is_inside or not _watching.all or not is_whole:
            return attention(*args, **options)
        made = _alone(attention, *args, **options)
        names = ("mask", "bias", "scale", "is_causal")
        attributes = {name: given.get(name) for name in names} | {"heads": -2}
        vectors = [given[name] for name in ("query", "key", "value")]
        _tell("FusedAttention", vectors, attributes, [made])
        return made

    return watched
