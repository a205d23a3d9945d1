"""One small record a framework: NumPy in, NumPy out, gradients where the framework has them."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from amad_core.attention.inputs import FloatArray

MODULES = {
    "numpy": "numpy_arrays",
    "torch": "torch_tensors",
    "jax": "jax_arrays",
    "tensorflow": "tensorflow_tensors",
}
"""Frameworks by the name of their package, and the module here that knows each; those that are
imported soonest come first."""

Tensors = Mapping[str, Any]
"""``teacher``, ``student`` and what else the port gets, by our names."""

Call = Callable[[Tensors], Any]
"""A port with its options: tensors in, the loss out. One object for equal options, so that what
is compiled can be kept."""


class RawAnswer(NamedTuple):
    """A loss as the port gave it, and gradients of its sum.

    ``grad_teacher`` is all zeros where no gradient reaches the teacher.
    """

    loss: Any
    grad_student: FloatArray | None = None
    grad_teacher: FloatArray | None = None
    no_gradient: str = ""


class Framework(Protocol):
    """What the kit needs of a framework."""

    name: str
    mutable: bool
    """Whether a port can change what it is given."""

    @property
    def version(self) -> str:
        """Versions, for the report's header."""

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The floating-point dtypes that ports of this framework are tried in."""

    def prepare(self) -> None:
        """Set the framework up in a process of its own, before the port is loaded."""

    def tensor(self, array: NDArray[Any], dtype: str) -> Any:
        """A tensor of its own memory, cast to ``dtype``; ``"bool"`` or ``"int64"`` for masks."""

    def array(self, tensor: Any) -> NDArray[Any]:
        """A NumPy copy: float64 of any floating-point tensor, other dtypes as they are."""

    def evaluate(self, port: Call, tensors: Tensors) -> RawAnswer:
        """The loss alone."""

    def differentiate(self, port: Call, tensors: Tensors) -> RawAnswer:
        """The loss and its gradients with respect to both maps."""


def load_framework(name: str) -> Framework:
    """The record of a framework, which is imported here.

    Raises:
        ImportError: the framework is not installed.
        ValueError: no such framework.
    """
    if name not in MODULES:
        raise ValueError(f"framework must be one of {', '.join(MODULES)}; got {name!r}")
    module = import_module(f"{__name__}.{MODULES[name]}")
    framework: Framework = module.FRAMEWORK
    return framework


def dtype_of(value: Any) -> str:
    """The name of a tensor's dtype in any framework (``"float32"``); empty for plain numbers."""
    dtype = getattr(value, "dtype", None)
    return str(getattr(dtype, "name", dtype or "")).removeprefix("torch.")
