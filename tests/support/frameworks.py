"""One bridge to the frameworks: arrays in and out, and the gradient of a loss by its inputs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pytest
from numpy.typing import NDArray

from amad_core.attention.inputs import FloatArray

TENSORFLOW = pytest.mark.xdist_group("tensorflow")
ADAPTERS = [pytest.param("torch"), pytest.param("tensorflow", marks=TENSORFLOW)]

Loss = Callable[..., Any]
"""A function of tensors by keyword."""

Arrays = Mapping[str, NDArray[Any]]


class Differentiated(NamedTuple):
    """A loss and the gradients of its sum, as float64 arrays, with the dtypes that they came in.

    ``gradients`` holds ``None`` where the loss does not depend on an input.
    """

    loss: FloatArray
    gradients: dict[str, Any]
    dtypes: dict[str, str]
    """Of ``loss`` and of each gradient that there is, by name."""


class Framework(Protocol):
    """What the tests need of a framework."""

    name: str

    def tensor(self, values: NDArray[Any], dtype: str | None = None) -> Any:
        """A tensor; of the array's own dtype unless another is named."""

    def array(self, tensor: Any) -> NDArray[Any]:
        """A NumPy array: float64 of any floating-point tensor."""

    def differentiate(
        self, loss: Loss, tensors: Mapping[str, Any], by: Sequence[str], wrap: Any = None
    ) -> Differentiated:
        """The loss and its gradients; ``wrap`` compiles the function that is run."""


class Torch:
    """PyTorch; ``wrap`` gets the loss, whose backward pass is compiled with it."""

    name = "torch"

    def tensor(self, values: NDArray[Any], dtype: str | None = None) -> Any:
        import torch

        tensor = torch.tensor(values)
        return tensor if dtype is None else tensor.to(getattr(torch, dtype))

    def array(self, tensor: Any) -> NDArray[Any]:
        plain = tensor.detach()
        return np.asarray((plain.double() if plain.is_floating_point() else plain).numpy())

    def differentiate(
        self, loss: Loss, tensors: Mapping[str, Any], by: Sequence[str], wrap: Any = None
    ) -> Differentiated:
        for name in by:
            tensors[name].requires_grad_()
        found = (wrap(loss) if wrap else loss)(**tensors)
        if found.requires_grad:
            found.sum().backward()
        return _plain(self, found, {name: tensors[name].grad for name in by})


class TensorFlow:
    """TensorFlow; ``wrap`` gets the loss and its tape as one function."""

    name = "tensorflow"

    def tensor(self, values: NDArray[Any], dtype: str | None = None) -> Any:
        import tensorflow as tf

        return tf.constant(values) if dtype is None else tf.cast(tf.constant(values), dtype)

    def array(self, tensor: Any) -> NDArray[Any]:
        import tensorflow as tf

        wide = tf.cast(tensor, tf.float64) if tensor.dtype.is_floating else tensor
        return np.asarray(wide.numpy())

    def differentiate(
        self, loss: Loss, tensors: Mapping[str, Any], by: Sequence[str], wrap: Any = None
    ) -> Differentiated:
        import tensorflow as tf

        def run(**tensors: Any) -> Any:
            watched = [tensors[name] for name in by]
            with tf.GradientTape() as tape:
                tape.watch(watched)
                found = loss(**tensors)
            return found, tape.gradient(found, watched)

        found, gradients = (wrap(run) if wrap else run)(**tensors)
        return _plain(self, found, dict(zip(by, gradients, strict=True)))


FRAMEWORKS: Mapping[str, Framework] = {"torch": Torch(), "tensorflow": TensorFlow()}


def tensors_of(framework: Framework, arrays: Arrays, dtype: str) -> dict[str, Any]:
    """Floating-point arrays in ``dtype``, masks and indices as they are."""
    return {
        name: framework.tensor(values, dtype if values.dtype.kind == "f" else None)
        for name, values in arrays.items()
    }


def _plain(framework: Framework, loss: Any, gradients: Mapping[str, Any]) -> Differentiated:
    there = {name: value for name, value in gradients.items() if value is not None}
    return Differentiated(
        framework.array(loss),
        {name: None if name not in there else framework.array(there[name]) for name in gradients},
        {name: _name(value.dtype) for name, value in {"loss": loss, **there}.items()},
    )


def _name(dtype: Any) -> str:
    return str(getattr(dtype, "name", dtype)).removeprefix("torch.")
