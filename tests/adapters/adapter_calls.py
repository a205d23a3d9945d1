"""Both adapters as functions of NumPy arrays: value and gradient, in any dtype."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from amad_core import amad_loss_and_grad
from amad_core.attention.inputs import FloatArray
from tests.agreement import gradient_error, relative_error

TENSORFLOW = pytest.mark.xdist_group("tensorflow")
ADAPTERS = [pytest.param("torch"), pytest.param("tensorflow", marks=TENSORFLOW)]

ACCUMULATION = {
    "float64": "float64",
    "float32": "float32",
    "bfloat16": "float32",
    "float16": "float32",
}
"""The dtype that an adapter computes in, for each dtype of its inputs."""

UNIT_ROUNDOFF = {
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
}
Result = tuple[FloatArray, FloatArray]


def tiny(dtype: str) -> float:
    """The adapters' default floor: the smallest normal number of the accumulation dtype."""
    return float(np.finfo(ACCUMULATION[dtype]).tiny)


def rounded(dtype: str, values: Any) -> Any:
    """What is left of an array in ``dtype``, as float64; masks and ``None`` as they are."""
    if values is None or np.asarray(values).dtype == bool:
        return values
    import ml_dtypes  # the dtypes of JAX and TensorFlow for NumPy; both bring it

    narrow = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    with np.errstate(over="ignore"):
        return np.asarray(values, np.float64).astype(narrow).astype(np.float64)


def call(adapter: str, dtype: str, with_respect_to: str = "student", **options: Any) -> Result:
    """``amad_loss`` of an adapter and its gradient, both as float64 arrays."""
    return CALLS[adapter](dtype, with_respect_to, **options)


def call_torch(
    dtype: str, with_respect_to: str, *, function: Callable[..., Any] | None = None, **options: Any
) -> Result:
    import torch

    from amad_torch import amad_loss

    tensors = {
        name: torch.tensor(value) if value.dtype == bool else to_torch(value, dtype)
        for name, value in options.items()
        if isinstance(value, np.ndarray)
    }
    tensors[with_respect_to].requires_grad_()
    loss = (function or amad_loss)(**{**options, **tensors})
    loss.sum().backward()
    gradient = tensors[with_respect_to].grad
    assert gradient is not None
    assert gradient.dtype == tensors[with_respect_to].dtype
    assert str(loss.dtype) == f"torch.{ACCUMULATION[dtype]}"
    assert all(tensor.grad is None for name, tensor in tensors.items() if name != with_respect_to)
    return loss.detach().double().numpy(), gradient.double().numpy()


def to_torch(values: NDArray[Any], dtype: str) -> Any:
    import torch

    return torch.tensor(values).to(getattr(torch, dtype))


def call_tensorflow(
    dtype: str, with_respect_to: str, *, function: Callable[..., Any] | None = None, **options: Any
) -> Result:
    import tensorflow as tf

    from amad_tensorflow import amad_loss

    tensors = {
        name: tf.constant(value) if value.dtype == bool else to_tensorflow(value, dtype)
        for name, value in options.items()
        if isinstance(value, np.ndarray)
    }
    with tf.GradientTape() as tape:
        tape.watch(tensors[with_respect_to])
        loss = (function or amad_loss)(**{**options, **tensors})
    gradient = tape.gradient(loss, tensors[with_respect_to])
    assert gradient.dtype.name == dtype
    assert loss.dtype.name == ACCUMULATION[dtype]
    return tf.cast(loss, tf.float64).numpy(), tf.cast(gradient, tf.float64).numpy()


def to_tensorflow(values: NDArray[Any], dtype: str) -> Any:
    import tensorflow as tf

    return tf.cast(tf.constant(np.asarray(values, np.float64)), dtype)


CALLS: dict[str, Callable[..., Result]] = {"torch": call_torch, "tensorflow": call_tensorflow}


class Errors(NamedTuple):
    """Relative errors of a value and a gradient, in the sense of :mod:`agreement`."""

    value: float
    gradient: float


def errors(
    found: Result, *, dtype: str, with_respect_to: str = "student", **options: Any
) -> Errors:
    """How far an adapter is from the specification of the same inputs, rounded to ``dtype``.

    The value relative to itself or the number of divergences that are summed, each of size 1; the
    gradient relative to the largest entry of its head or ``1/|s_j|``.
    """
    options = {name: _as_given(dtype, value) for name, value in options.items()}
    options.setdefault("eps", tiny(dtype))
    loss, gradient = amad_loss_and_grad(**options, with_respect_to=with_respect_to)
    value = relative_error(found[0], loss, size=divergences(**options))
    if with_respect_to == "student":
        student = options["student"]
        return Errors(value, gradient_error(found[1], gradient, student, options.get("mask")))
    size = max(1.0, float(np.abs(gradient).max()))
    return Errors(value, relative_error(found[1], gradient, size))


def divergences(*, teacher: FloatArray, variant: str, reduction: str = "mean", **_: Any) -> int:
    """How many divergences the loss sums: one a teacher head, in ``token`` one a row of it."""
    batch, heads, queries, _ = teacher.shape
    return heads * (queries if variant == "token" else 1) * (batch if reduction == "sum" else 1)


def cancellation(
    *, student: FloatArray, weight: Any = None, bias: Any = None, mask: Any = None, **_: Any
) -> float:
    """How much ``W s/|s|_1 + b`` of eq. 10 magnifies rounding: terms over sum, in active cells."""
    if weight is None or bias is None:
        return 1.0
    heads = student.reshape(*student.shape[:2], -1)
    valid = np.ones(heads.shape, bool)
    if mask is not None:
        valid &= mask.reshape(len(heads), 1, -1)
    heads = np.where(valid, heads, 0.0)
    largest = heads.max(axis=-1, keepdims=True)
    unit = heads / np.where(largest > 0, largest, 1.0)
    unit = unit / np.maximum(unit.sum(axis=-1, keepdims=True), 1.0)
    projected, terms = unit @ weight.T + bias, unit @ np.abs(weight).T + np.abs(bias)
    active = valid & (projected > 0)
    return float(np.max(terms[active] / projected[active], initial=1.0))


def bound(dtype: str, temperature: float = 1.0, magnified: float = 1.0) -> Errors:
    """What rounding may do: ``64 u (1 + 1/τ)``, ``u`` of the accumulation dtype.

    64 is 10 standard deviations of 40 roundings, the longest way through the loss of some 20 cells;
    a rounding of a cosine is one of 1/τ in the logarithm of a weight. The gradient of
    half-precision maps is half-precision too: one rounding more, in that dtype. ``projected``
    multiplies it by :func:`cancellation`.
    """
    allowed = 64 * UNIT_ROUNDOFF[ACCUMULATION[dtype]] * (1 + 1 / temperature) * magnified
    handed_over = 0.0 if dtype == ACCUMULATION[dtype] else UNIT_ROUNDOFF[dtype]
    return Errors(allowed, allowed + handed_over)


def assert_agrees_with_specification(
    adapter: str, dtype: str, with_respect_to: str = "student", **options: Any
) -> None:
    """Raise unless value and gradient are within :func:`bound` of the specification."""
    found = call(adapter, dtype, with_respect_to, **options)
    options.pop("function", None)
    found_errors = errors(found, dtype=dtype, with_respect_to=with_respect_to, **options)
    magnified = cancellation(**{name: _as_given(dtype, value) for name, value in options.items()})
    allowed = bound(dtype, options.get("temperature", 1.0), magnified)
    if not (found_errors.value <= allowed.value and found_errors.gradient <= allowed.gradient):
        raise AssertionError(f"{found_errors} exceed {allowed}; found {found}")


def _as_given(dtype: str, value: Any) -> Any:
    return rounded(dtype, value) if isinstance(value, np.ndarray) else value
