"""What computes attention and its loss on each backend of Keras, behind one set of functions."""

from importlib import import_module
from typing import Any

import keras

_MODULES = {"tensorflow": "amad_keras.backends.on_tensorflow"}


def current_backend() -> Any:
    """The module for Keras's backend: ``capture_attention`` and ``attention_loss``.

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
