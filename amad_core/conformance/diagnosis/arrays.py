"""The few array operations that the pipeline needs, for plain NumPy and for HIPS autograd.

Mutations of the pipeline are written once over this interface. Plain NumPy gives values fast;
autograd gives exact gradients; the benchmarks bring PyTorch's and TensorFlow's, so that every
mistake runs there as native code with native differentiation.
"""

from types import ModuleType
from typing import Any

import numpy as np

Array = Any
"""An array of whichever library computes."""


class NumpyArrays:
    """NumPy's names over ``module``: NumPy itself, or ``autograd.numpy``, which has the same."""

    def __init__(self, module: ModuleType = np) -> None:
        self.exp, self.log, self.sqrt, self.abs = module.exp, module.log, module.sqrt, module.abs
        self.tanh = module.tanh
        self.where, self.swapaxes, self.moveaxis = module.where, module.swapaxes, module.moveaxis
        self.concatenate = module.concatenate
        self._module = module

    def constant(self, values: Any) -> Array:
        """A NumPy array as an array of this library, without gradient."""
        return values

    def stop_gradient(self, array: Array) -> Array:
        """The same numbers, as a constant to differentiation."""
        return array

    def values(self, array: Array) -> Any:
        """The numbers as a plain NumPy array."""
        return np.asarray(array)

    def sum(self, array: Array, axis: Any, keepdims: bool = False) -> Array:
        """Sum along one axis or several."""
        return self._module.sum(array, axis=axis, keepdims=keepdims)

    def max(self, array: Array, axis: Any, keepdims: bool = False) -> Array:
        """Largest along one axis or several."""
        return self._module.max(array, axis=axis, keepdims=keepdims)

    def reshape(self, array: Array, shape: tuple[int, ...]) -> Array:
        """Row-major reshape."""
        return self._module.reshape(array, shape)

    def take(self, array: Array, indices: list[int], axis: int) -> Array:
        """The slices of ``array`` at ``indices`` along ``axis``."""
        return array[(slice(None),) * axis + (np.asarray(indices),)]


class AutogradArrays(NumpyArrays):
    """The same, traced by HIPS autograd."""

    def __init__(self) -> None:
        # Imported here: only a diagnosis needs autograd.
        import autograd.numpy
        from autograd.extend import defvjp, primitive

        super().__init__(autograd.numpy)
        self._stop = primitive(lambda array: array)
        defvjp(self._stop, None)

    def stop_gradient(self, array: Array) -> Array:
        return self._stop(array)

    def values(self, array: Array) -> Any:
        from autograd.tracer import getval

        while hasattr(array, "_value"):
            array = getval(array)
        return np.asarray(array)


NUMPY = NumpyArrays()
