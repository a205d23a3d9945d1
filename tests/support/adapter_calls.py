"""The adapters' ``amad_loss`` on NumPy arrays, in any dtype, and what rounding may do to it."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import pytest

from amad_core import amad_loss_and_grad
from amad_core.attention.inputs import FloatArray
from amad_core.conformance.judging.tolerance import UNIT_ROUNDOFF
from tests.support.agreement import gradient_error, relative_error
from tests.support.frameworks import ADAPTERS, FRAMEWORKS, tensors_of

ACCUMULATION = {
    "float64": "float64",
    "float32": "float32",
    "bfloat16": "float32",
    "float16": "float32",
}
"""The dtype that an adapter computes in, for each dtype of its inputs."""

FORMS = [*ADAPTERS, pytest.param("torch plain")]
"""The adapters, and where one has another form of the loss than it takes by itself, that form."""

Result = tuple[FloatArray, FloatArray]


def tiny(dtype: str) -> float:
    """The adapters' default floor: the smallest normal number of the accumulation dtype."""
    return float(np.finfo(ACCUMULATION[dtype]).tiny)


def rounded(dtype: str, values: Any) -> Any:
    """What is left of an array in ``dtype``, as float64; masks, and what is no array, as it is."""
    if not isinstance(values, np.ndarray) or values.dtype == bool:
        return values
    import ml_dtypes  # the dtypes of JAX and TensorFlow for NumPy; both bring it

    narrow = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    with np.errstate(over="ignore"):
        return values.astype(narrow).astype(np.float64)


def call(
    adapter: str,
    dtype: str,
    with_respect_to: str = "student",
    *,
    function: Callable[..., Any] | None = None,
    **options: Any,
) -> Result:
    """``amad_loss`` of an adapter, or another ``function``, and its gradient, as float64 arrays.

    ``adapter``: one of :data:`FORMS`.
    """
    adapter, _, form = adapter.partition(" ")
    framework = FRAMEWORKS[adapter]
    arrays = {name: value for name, value in options.items() if isinstance(value, np.ndarray)}
    settings = {name: value for name, value in options.items() if name not in arrays}
    settings |= {"implementation": form} if form else {}
    loss = partial(function or import_module(f"amad_{adapter}").amad_loss, **settings)
    tensors = tensors_of(framework, arrays, dtype)
    found = framework.differentiate(loss, tensors, [with_respect_to])
    assert found.dtypes == {"loss": ACCUMULATION[dtype], with_respect_to: dtype}
    return found.loss, found.gradients[with_respect_to]


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
    options = {name: rounded(dtype, value) for name, value in options.items()}
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
    magnified = cancellation(**{name: rounded(dtype, value) for name, value in options.items()})
    allowed = bound(dtype, options.get("temperature", 1.0), magnified)
    if not (found_errors.value <= allowed.value and found_errors.gradient <= allowed.gradient):
        raise AssertionError(f"{found_errors} exceed {allowed}; found {found}")
