"""JAX, through ``jax.vjp``."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from amad_core.conformance.ports.frameworks import Call, RawAnswer, Tensors

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
        self._compiled: dict[Call, Any] = {}

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
        return jnp.asarray(np.asarray(array), dtype=jax.dtypes.canonicalize_dtype(dtype))

    def array(self, tensor: Any) -> NDArray[Any]:
        """Floating point as float64, all else as it is."""
        floating = isinstance(tensor, jax.Array) and jnp.issubdtype(tensor.dtype, jnp.floating)
        found = np.asarray(tensor)
        return found.astype(np.float64) if floating else found

    def evaluate(self, port: Call, tensors: Tensors) -> RawAnswer:
        """The loss alone: traced anew each time, so that randomness and state show.

        A port that cannot be compiled as a whole runs op by op, which takes far longer.
        """
        try:
            compiled = jax.jit(lambda given: port(given), compiler_options=_compiler_options())
            return RawAnswer(compiled(dict(tensors)))
        except Exception:  # of the port or of tracing: what the port itself raises counts
            return RawAnswer(port(tensors))

    def differentiate(self, port: Call, tensors: Tensors) -> RawAnswer:
        """Gradients by reverse mode; a port that cannot be traced has none.

        Compiled as a whole where it can be: op by op, each new shape costs a second. A port that
        cannot be compiled may still be differentiated op by op: there Python may branch on values.
        """
        if port not in self._compiled:
            self._compiled[port] = jax.jit(
                _with_gradients(port), compiler_options=_compiler_options()
            )
        try:
            try:
                loss, gradients = self._compiled[port](dict(tensors))
            except _UNTRACEABLE:
                loss, gradients = _with_gradients(port)(dict(tensors))
        except _NoLossError:
            return RawAnswer(port(tensors), no_gradient=_CUT_OFF)
        except _UNTRACEABLE as error:
            first = str(error).strip().splitlines()[0]
            return RawAnswer(
                port(tensors),
                no_gradient="jax cannot trace the port "
                f"(float(), .item(), NumPy functions or branches on values): {first}",
            )
        return RawAnswer(loss, self.array(gradients["student"]), self.array(gradients["teacher"]))


@functools.cache
def _compiler_options() -> dict[str, Any] | None:
    """What makes compiling fast, where this version of JAX knows it."""
    try:
        jax.jit(jnp.negative, compiler_options=_COMPILE_FAST)(0.0)
    except Exception:  # which error an option unknown to XLA gives changes with the version
        return None
    return _COMPILE_FAST


def _with_gradients(port: Call) -> Callable[[dict[str, Any]], tuple[Any, dict[str, Any]]]:
    """The loss, and the gradients of its sum with respect to both maps."""

    def loss_and_gradients(tensors: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        def loss_of(maps: Mapping[str, Any]) -> Any:
            loss = port({**tensors, **maps})
            if not isinstance(loss, jax.Array) or not jnp.issubdtype(loss.dtype, jnp.floating):
                raise _NoLossError
            return loss

        loss, pull_back = jax.vjp(loss_of, {name: tensors[name] for name in ("teacher", "student")})
        return loss, pull_back(jnp.ones_like(loss))[0]

    return loss_and_gradients


FRAMEWORK = Jax()
