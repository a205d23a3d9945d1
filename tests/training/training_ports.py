"""The functions for training, of the specification and of the adapters, on NumPy arrays."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from hypothesis import settings
from numpy.typing import NDArray

FEWER = settings(max_examples=max(settings().max_examples // 3, 1))
"""For properties of whole models, which take TensorFlow 0.1 s an example."""


class Port(NamedTuple):
    """One framework. ``functions`` take and return its own arrays."""

    name: str
    functions: SimpleNamespace
    array: Callable[..., Any]
    """NumPy array, and a dtype by name, to the framework's."""

    gradient: Callable[[Callable[[Any], Any], NDArray[Any]], NDArray[Any]]
    """Of a scalar function of one array."""

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


def spec_port() -> Port:
    from amad_core.training import layer_losses, masks, output_losses, total

    return Port("spec", _functions(masks, layer_losses, output_losses, total), _numpy, _no_gradient)


def torch_port() -> Port:
    import torch

    from amad_torch.training import layer_losses, masks, output_losses, total

    def array(values: NDArray[Any], dtype: str | None = None) -> Any:
        return torch.tensor(values, dtype=None if dtype is None else getattr(torch, dtype))

    def gradient(function: Callable[[Any], Any], at: NDArray[Any]) -> NDArray[Any]:
        argument = torch.tensor(at, requires_grad=True)
        function(argument).backward()
        return np.zeros_like(at) if argument.grad is None else np.asarray(argument.grad)

    return Port("torch", _functions(masks, layer_losses, output_losses, total), array, gradient)


def tensorflow_port() -> Port:
    import tensorflow as tf

    from amad_tensorflow.training import layer_losses, masks, output_losses, total

    def array(values: NDArray[Any], dtype: str | None = None) -> Any:
        tensor = tf.constant(values)
        return tensor if dtype is None else tf.cast(tensor, dtype)

    def gradient(function: Callable[[Any], Any], at: NDArray[Any]) -> NDArray[Any]:
        argument = tf.constant(at)
        with tf.GradientTape() as tape:
            tape.watch(argument)
            value = function(argument)
        found = tape.gradient(value, argument)
        return np.zeros_like(at) if found is None else np.asarray(found)

    functions = _functions(masks, layer_losses, output_losses, total)
    return Port("tensorflow", functions, array, gradient)


def _functions(masks: Any, layer_losses: Any, output_losses: Any, total: Any) -> SimpleNamespace:
    return SimpleNamespace(
        cell_mask=masks.cell_mask,
        amad_layers_loss=layer_losses.amad_layers_loss,
        output_loss=output_losses.output_loss,
        task_loss=output_losses.task_loss,
        total_loss=total.total_loss,
    )


def _numpy(values: NDArray[Any], dtype: str | None = None) -> NDArray[Any]:
    return values if dtype is None else values.astype(dtype)


def _no_gradient(function: Callable[[Any], Any], at: NDArray[Any]) -> NDArray[Any]:
    raise NotImplementedError("the specification has its gradients in closed form")
