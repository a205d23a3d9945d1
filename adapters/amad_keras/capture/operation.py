"""One operation as it runs, in words that all backends share; and the Keras layers that run it.

Its types are called as TensorFlow calls them; what watches another backend translates.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras

from amad_keras.capture.tensors import Tensor

try:
    from keras.src.backend.common import global_state
except ImportError as error:
    raise ImportError(
        "capture of attention looks up which layers are running in the name scopes of Keras, which "
        f"keras {keras.__version__} does not have where they are expected; keras 3.12 to 3.15 have"
    ) from error


class Operation(NamedTuple):
    """One operation: its type, tensors in and out, and the graph that it is in (none if eager)."""

    type: str
    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    attributes: Mapping[str, Any]
    graph: Any


Watcher = Callable[[Operation], None]


def running_layers() -> list[Any]:
    """The calls of Keras layers that are running in this thread, the innermost last.

    Each is an object of its own, whose ``caller`` is the layer.
    """
    scopes = global_state.get_global_attribute("name_scope_stack") or ()
    return [scope for scope in scopes if isinstance(scope.caller, keras.layers.Layer)]


def attribute(operation: Operation, name: str) -> Any:
    """An attribute's value, whichever way TensorFlow hands it over; ``None``: it has none."""
    value: Any = operation.attributes.get(name)
    if hasattr(value, "WhichOneof"):  # as graphs keep them
        value = getattr(value, value.WhichOneof("value"))
    return value.decode() if isinstance(value, bytes) else value
