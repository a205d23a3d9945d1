"""Where capture hears of operations: a file for each backend, with the same functions."""

from importlib import import_module
from typing import Any

import keras
import numpy as np

from amad_keras.capture.tensors import Tensor

_MODULES = {
    "tensorflow": "amad_keras.capture.sources.on_tensorflow",
    "torch": "amad_keras.capture.sources.on_torch",
    "jax": "amad_keras.capture.sources.on_jax",
}


def current_source() -> Any:
    """What watches the operations of Keras's backend.

    Raises:
        RuntimeError: nothing does.
    """
    name = keras.config.backend()
    if name not in _MODULES:
        raise RuntimeError(
            f"attention can be captured with Keras on one of the backends {', '.join(_MODULES)}; "
            f"got {name!r} (set KERAS_BACKEND)"
        )
    return import_module(_MODULES[name])


def static_value(tensor: Tensor) -> Any:
    """The number or array of up to 8 cells that a tensor holds, where that is known now."""
    return tensor if isinstance(tensor, np.ndarray) else current_source().static_value(tensor)


def is_symbolic(tensor: Tensor) -> bool:
    """Whether its values are not there to be looked at."""
    return not isinstance(tensor, np.ndarray) and bool(current_source().is_symbolic(tensor))


def number_in(tensor: Tensor) -> float | None:
    """The one number that a symbolic tensor is filled with, where that is known."""
    number: float | None = current_source().number_in(tensor)
    return number


def is_weight(tensor: Tensor, layers: tuple[Any, ...]) -> bool:
    """Whether a tensor is a variable of the layers that are running, which no layer was given."""
    return not isinstance(tensor, np.ndarray) and bool(current_source().is_weight(tensor, layers))
