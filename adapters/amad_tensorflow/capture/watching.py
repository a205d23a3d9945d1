"""Every operation of TensorFlow, as it runs or enters a graph; and the Keras layer that runs it.

The only file that touches what TensorFlow and Keras keep to themselves: operation callbacks, with
which TensorFlow's own debugger works, and the stack of name scopes that Keras layers open.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from amad_tensorflow.attention.inputs import Tensor

try:
    from keras.src.backend.common import global_state
    from tensorflow.python.eager import context, execute
    from tensorflow.python.framework import op_callbacks
except ImportError as error:
    raise ImportError(
        "amad_tensorflow captures attention through operation callbacks of TensorFlow and name "
        f"scopes of Keras, which tensorflow {tf.__version__} and keras {keras.__version__} do not "
        "have where they are expected; tensorflow 2.16 to 2.21 with keras 3.12 to 3.15 have"
    ) from error


class Operation(NamedTuple):
    """One operation: its type, tensors in and out, and the graph that it is in (none if eager)."""

    type: str
    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    attributes: Mapping[str, Any]
    graph: Any


Watcher = Callable[[Operation], None]


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


def running_layers() -> list[Any]:
    """The calls of Keras layers that are running in this thread, the innermost last.

    Each is an object of its own, whose ``caller`` is the layer.
    """
    scopes = global_state.get_global_attribute("name_scope_stack") or ()
    return [scope for scope in scopes if isinstance(scope.caller, keras.layers.Layer)]


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


def attribute(operation: Operation, name: str) -> Any:
    """An attribute's value, whichever way TensorFlow hands it over; ``None``: it has none."""
    value: Any = operation.attributes.get(name)
    if hasattr(value, "WhichOneof"):  # as graphs keep them
        value = getattr(value, value.WhichOneof("value"))
    return value.decode() if isinstance(value, bytes) else value


def static_value(tensor: Tensor) -> Any:
    """The number or array that a tensor holds, where that is known now; else ``None``."""
    if tensor.shape.rank is None or (tensor.shape.num_elements() or 9) > 8:
        return None
    return tf.get_static_value(tensor)
