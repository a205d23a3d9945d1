"""NumPy: no gradients of its own; a port may return ``(loss, gradient)``."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from amad_core.conformance.ports.frameworks import Call, RawAnswer, Tensors


class NumPy:
    """Arrays as they are."""

    name = "numpy"
    mutable = True
    dtypes = ("float64", "float32", "float16")

    @property
    def version(self) -> str:
        """NumPy's version."""
        return f"numpy {np.__version__}"

    def prepare(self) -> None:
        """Nothing to set up."""

    def tensor(self, array: NDArray[Any], dtype: str) -> Any:
        """A copy."""
        with np.errstate(over="ignore"):
            return np.array(array, dtype=dtype)

    def array(self, tensor: Any) -> NDArray[Any]:
        """Floating point as float64, all else as it is."""
        found = np.asarray(tensor)
        return found.astype(np.float64) if np.issubdtype(found.dtype, np.floating) else found

    def evaluate(self, port: Call, tensors: Tensors) -> RawAnswer:
        """The loss, or the two parts of ``(loss, gradient)``."""
        found = port(tensors)
        if isinstance(found, tuple | list) and len(found) == 2:
            gradient = np.asarray(found[1])
            floating = np.issubdtype(gradient.dtype, np.floating)
            if floating and gradient.shape == tensors["student"].shape:
                return RawAnswer(found[0], gradient.astype(np.float64))
        return RawAnswer(
            found, no_gradient="NumPy has no gradients; return (loss, gradient) to have one checked"
        )

    differentiate = evaluate


FRAMEWORK = NumPy()
