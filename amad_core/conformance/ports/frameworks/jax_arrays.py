"""JAX, through ``jax.vjp``."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from amad_core.conformance.ports.frameworks import RawAnswer, Request

_COMPILE_FAST = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}
"""Every shape is compiled and called a few times: a third of the usual time to compile."""

_UNTRACEABLE = (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError)
_CUT_OFF = "the loss is cut off from its inputs (no floating-point jax array)"


class _NoLossError(Exception):
    """The port did not return what has a gradient."""


class Jax:
    """Arrays, which no port can change in place."""

    name = "jax"
    mutable = False

    def __init__(self) -> None:
        self._functions: dict[Any, Any] = {}

    @property
    def version(self) -> str:
        """JAX's version."""
        return f"jax {jax.__version__}"

    @property
    def dtypes(self) -> tuple[str, ...]:
        """float64 only where 64-bit types are enabled."""
        wide = ("float64",) if jnp.zeros(0, float).dtype == "float64" else ()
        return (*wide, "float32", "bfloat16", "float16")

    def prepare(self) -> None:
        """Enable 64-bit types, so that a float64 port can be told from its rounding."""
        jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]

    def tensor(self, array: NDArray[Any], dtype: str) -> Any:
        """A copy."""
        return jnp.asarray(np.asarray(array), dtype=dtype)

    def array(self, tensor: Any) -> NDArray[Any]:
        """Floating point as float64, all else as it is."""
        floating = isinstance(tensor, jax.Array) and jnp.issubdtype(tensor.dtype, jnp.floating)
        found = np.asarray(tensor)
        return found.astype(np.float64) if floating else found

    def dtype(self, tensor: Any) -> str:
        """The dtype's name; empty for plain numbers."""
        return str(tensor.dtype) if isinstance(tensor, jax.Array) else ""

    def evaluate(self, request: Request) -> RawAnswer:
        """The loss alone."""
        return RawAnswer(request.run())

    def differentiate(self, request: Request) -> RawAnswer:
        """Gradients by reverse mode; a port that cannot be traced has none.

        Compiled as a whole where it can be: op by op, each new shape costs a second.
        """
        try:
            loss, teachers, students = self._compiled(request)(
                request.teacher, request.student, request.others
            )
        except _UNTRACEABLE:
            return self._differentiate_untraced(request)
        except _NoLossError:
            return RawAnswer(request.run(), no_gradient=_CUT_OFF)
        return RawAnswer(loss, self.array(students), self.array(teachers))

    def _compiled(self, request: Request) -> Any:
        if request.options not in self._functions:
            self._functions[request.options] = jax.jit(
                _loss_and_gradients(request.call), compiler_options=_compiler_options()
            )
        return self._functions[request.options]

    def _differentiate_untraced(self, request: Request) -> RawAnswer:
        """Op by op: only what gradients need is traced; Python may branch on values."""
        differentiate = _loss_and_gradients(request.call)
        try:
            loss, teachers, students = differentiate(
                request.teacher, request.student, request.others
            )
        except _NoLossError:
            return RawAnswer(request.run(), no_gradient=_CUT_OFF)
        except _UNTRACEABLE as error:
            first = str(error).strip().splitlines()[0]
            return RawAnswer(
                request.run(),
                no_gradient="jax cannot trace the port "
                f"(float(), .item(), NumPy functions or branches on values): {first}",
            )
        return RawAnswer(loss, self.array(students), self.array(teachers))


@functools.cache
def _compiler_options() -> dict[str, Any] | None:
    """What makes compiling fast, where this version of JAX knows it."""
    try:
        jax.jit(jnp.negative, compiler_options=_COMPILE_FAST)(0.0)
    except Exception:  # which error an option unknown to XLA gives changes with the version
        return None
    return _COMPILE_FAST


def _loss_and_gradients(call: Callable[..., Any]) -> Callable[..., Any]:
    def loss_and_gradients(teacher: Any, student: Any, others: Any) -> tuple[Any, Any, Any]:
        def loss_of(teacher: Any, student: Any) -> Any:
            loss = call(teacher, student, others)
            if not isinstance(loss, jax.Array) or not jnp.issubdtype(loss.dtype, jnp.floating):
                raise _NoLossError
            return loss

        loss, pull_back = jax.vjp(loss_of, teacher, student)
        return (loss, *pull_back(jnp.ones_like(loss)))

    return loss_and_gradients


FRAMEWORK = Jax()
