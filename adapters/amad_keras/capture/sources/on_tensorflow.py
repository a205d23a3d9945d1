"""Every operation of TensorFlow, as it runs or enters a graph.

By operation callbacks, with which TensorFlow's own debugger works.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from amad_keras.capture.operation import Operation, Watcher
from amad_keras.capture.tensors import Tensor

try:
    from tensorflow.python.eager import context, execute
    from tensorflow.python.framework import op_callbacks
except ImportError as error:
    raise ImportError(
        "capture of attention watches TensorFlow through its operation callbacks, which tensorflow "
        f"{tf.__version__} does not have where they are expected; tensorflow 2.16 to 2.21 have"
    ) from error

ELSEWHERE = "a tf.function, predict, fit, tf.cond or tf.while_loop ran it"
"""What runs a model in another graph."""

SOFTMAX = "keras.ops.softmax, tf.nn.softmax"


_FOLDED: dict[str, Callable[..., Any]] = {
    "Sub": np.subtract,
    "AddV2": np.add,
    "FloorMod": np.mod,
    "Range": np.arange,
    "ConcatV2": lambda *given: np.concatenate(given[:-1], given[-1]),
    "Pack": lambda *given: np.stack(given),
}
"""What TensorFlow does not compute of constants by itself."""


class _Watchers(threading.local):
    def __init__(self) -> None:
        self.all: list[Watcher] = []


_watchers = _Watchers()
_lock = threading.Lock()
_registered: dict[int, int] = {}
"""How often each thread's list of callbacks is in use; replicas of one strategy share a list."""


@contextmanager
def operations_watched(watcher: Watcher) -> Iterator[None]:
    """Calls ``watcher`` with every operation of this thread, until the end of the block."""
    callbacks = context.context().op_callbacks
    with _lock:
        _registered[id(callbacks)] = _registered.get(id(callbacks), 0) + 1
        op_callbacks.add_op_callback(_tell)
    _watchers.all.append(watcher)
    try:
        yield
    finally:
        _watchers.all.remove(watcher)
        with _lock:
            _registered[id(callbacks)] -= 1
            if not _registered[id(callbacks)]:
                del _registered[id(callbacks)]
                op_callbacks.remove_op_callback(_tell)
                if _registered:  # Removing stops the callbacks of all threads in one of two paths.
                    execute.execute = execute.execute_with_callbacks


def current_graph() -> Any:
    """The graph that operations enter now; ``None`` if they run at once."""
    return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()


def _tell(
    op_type: Any, inputs: Any, attrs: Any, outputs: Any, op_name: Any = None, graph: Any = None
) -> Any:
    name = op_type.decode() if isinstance(op_type, bytes) else str(op_type)
    attributes = dict(zip(attrs[::2], attrs[1::2], strict=False)) if attrs else {}
    operation = Operation(name, inputs, outputs, attributes, graph)
    for watcher in tuple(_watchers.all):
        watcher(operation)
    return outputs


def static_value(tensor: Tensor) -> Any:
    """The number or array that a tensor holds, where that is known now; else ``None``."""
    if tensor.shape.rank is None or (tensor.shape.num_elements() or 0) > 8:
        return None
    value = tf.get_static_value(tensor)
    if value is not None or tf.executing_eagerly() or tensor.op.type not in _FOLDED:
        return value
    given = [static_value(one) for one in tensor.op.inputs]  # orders of axes, by tf.nn.softmax
    return None if any(one is None for one in given) else _FOLDED[tensor.op.type](*given)


def is_symbolic(tensor: Tensor) -> bool:
    """Whether its values are not there to be looked at."""
    return not tf.executing_eagerly()


def number_in(tensor: Tensor) -> float | None:
    """The one number that a symbolic tensor is filled with, where that is known."""
    if not hasattr(tensor, "op") or tensor.op.type not in ("Fill", "ZerosLike"):
        return None
    if tensor.op.type == "ZerosLike":
        return 0.0
    number = static_value(tensor.op.inputs[1])
    return None if number is None else float(number)


def cuts_gradients() -> bool:
    """Whether rematerialization runs this, in which maps have no gradient."""
    frame = sys._getframe()
    while frame is not None:
        code = frame.f_code
        if code.co_name == "inner" and code.co_filename.endswith("ops/custom_gradient.py"):
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def is_weight(tensor: Tensor, layers: tuple[Any, ...]) -> bool:
    """Variables are read by operations of their own."""
    return False
