"""The functions for training, of the specification and of the adapters, on NumPy arrays."""

from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from hypothesis import settings
from numpy.typing import NDArray

from tests.support.frameworks import FRAMEWORKS

FEWER = settings(max_examples=max(settings().max_examples // 3, 1))
"""For properties of whole models, which take TensorFlow 0.1 s an example."""


class Port(NamedTuple):
    """One package: its functions for training, which take and return its framework's tensors."""

    name: str
    functions: SimpleNamespace

    def array(self, values: NDArray[Any], dtype: str | None = None) -> Any:
        """A NumPy array as the framework's tensor."""
        if self.name == "spec":
            return values if dtype is None else values.astype(dtype)
        return FRAMEWORKS[self.name].tensor(values, dtype)

    def gradient(self, loss: Callable[[Any], Any], at: NDArray[Any]) -> NDArray[Any]:
        """Of the sum of a function of one array; the specification has its own in closed form."""
        framework = FRAMEWORKS[self.name]
        tensors = {"argument": framework.tensor(at)}
        found = framework.differentiate(lambda argument: loss(argument), tensors, ["argument"])
        gradient = found.gradients["argument"]
        return np.zeros_like(at) if gradient is None else gradient

    def call(self, function: str, **arguments: Any) -> Any:
        """The function on NumPy arrays, with its arrays as NumPy's."""
        converted = {name: self.converted(value) for name, value in arguments.items()}
        return returned(getattr(self.functions, function)(**converted))

    def converted(self, value: Any) -> Any:
        """NumPy arrays, also in lists, to the framework's; all else as it is."""
        if isinstance(value, list):
            return [self.converted(entry) for entry in value]
        return self.array(value) if isinstance(value, np.ndarray) else value


def returned(value: Any) -> Any:
    """Arrays of any framework, also in tuples, to NumPy's."""
    if hasattr(value, "_fields"):
        return type(value)(*map(returned, value))
    if isinstance(value, tuple):
        return tuple(map(returned, value))
    if hasattr(value, "detach"):
        value = value.detach()
    return value.numpy() if hasattr(value, "numpy") else value


def training_port(name: str) -> Port:
    """``spec``, ``torch`` or ``tensorflow``."""
    package = "amad_core" if name == "spec" else f"amad_{name}"
    functions = {
        function: getattr(import_module(f"{package}.training.{module}"), function)
        for function, module in (
            ("cell_mask", "masks"),
            ("amad_layers_loss", "layer_losses"),
            ("output_loss", "output_losses"),
            ("task_loss", "output_losses"),
            ("total_loss", "total"),
        )
    }
    return Port(name, SimpleNamespace(**functions))
