"""What computes the loss on each backend of Keras, behind one set of functions."""

from importlib import import_module
from typing import Any

import keras

_MODULES = {
    "tensorflow": "amad_keras.backends.on_tensorflow",
    "torch": "amad_keras.backends.on_torch",
    "jax": "amad_keras.backends.on_jax",
}


def current_backend() -> Any:
    """The module for Keras's backend: ``METHODS``, ``distillation_loss`` and ``weighted``.

    Raises:
        RuntimeError: there is none.
    """
    name = keras.config.backend()
    if name not in _MODULES:
        raise RuntimeError(
            f"AttentionDistillation needs Keras on one of the backends {', '.join(_MODULES)}; got "
            f"{name!r} (set KERAS_BACKEND)"
        )
    return import_module(_MODULES[name])
