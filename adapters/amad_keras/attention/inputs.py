"""Inputs: checked attention maps, the mask of cells that count, heads as vectors."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from amad_core.arguments.loss_masks import check_mask
from amad_core.arguments.maps import bad_parameter, bad_values, check_floating, check_map_shapes
from amad_core.arguments.words import span
from amad_keras.capture.sources import is_symbolic
from amad_keras.capture.tensors import (
    Tensor,
    accumulation_dtype,
    is_floating,
    known_shape,
    lengths,
)


def checked_maps(teacher: Tensor, student: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Both maps ``[B, H, Q, K]`` in the dtype of all sums, 0 in every masked cell.

    Masking comes before norms, inner products and sums, and nothing is renormalised by hand; what
    a masked cell held, NaN included, is gone from here on. The teacher gets no gradient [D8].
    """
    teacher, student = floating("teacher", teacher), floating("student", student)
    check_map_shapes(known_shape(teacher), known_shape(student))
    dtype = accumulation_dtype(teacher, student)
    teacher, student = ops.stop_gradient(ops.cast(teacher, dtype)), ops.cast(student, dtype)
    if mask is not None:
        valid = broadcast_mask(mask, student)[:, None]
        # `where` and not a product: 0 * NaN is NaN.
        teacher = ops.where(valid, teacher, ops.zeros_like(teacher))
        student = ops.where(valid, student, ops.zeros_like(student))
    for argument, maps in (("teacher", teacher), ("student", student)):
        _check_finite(maps, partial(bad_values, argument), least=0.0)
    return teacher, student


def broadcast_mask(mask: Tensor | None, maps: Tensor) -> Tensor:
    """The mask ``[B, Q, K]`` of maps ``[B, H, Q, K]``; all true where there is none."""
    batch, _, queries, keys = lengths(maps)
    if mask is None:
        return ops.ones((batch, queries, keys), dtype="bool")
    mask = as_tensor("mask", mask)
    dtype = keras.backend.standardize_dtype(mask.dtype)
    check_mask(dtype, dtype == "bool", known_shape(mask), known_shape(maps))
    return ops.broadcast_to(mask, (batch, queries, keys))


def tiny(dtype: Any) -> float:
    """The smallest normal number of a floating dtype."""
    return float(np.finfo(keras.backend.standardize_dtype(dtype)).tiny)


def checked_parameter(argument: str, values: Tensor, like: Tensor) -> Tensor:
    """A learned parameter in the dtype of all sums, finite as far as values are checked."""
    parameter = ops.cast(floating(argument, values), like.dtype)
    _check_finite(parameter, partial(bad_parameter, argument))
    return parameter


def whole_maps(maps: Tensor) -> Tensor:
    """``[B, H, Q, K]`` to one vector a head, ``[B, H, Q*K]``: eq. 2 to 11 compare whole maps."""
    batch, heads, queries, keys = lengths(maps)
    return ops.reshape(maps, (batch, heads, queries * keys))


def query_rows(maps: Tensor) -> Tensor:
    """``[B, H, Q, K]`` to one vector a head and query, ``[B, Q, H, K]``: eq. 12 compares rows."""
    return ops.transpose(maps, (0, 2, 1, 3))


def as_tensor(argument: str, values: object) -> Tensor:
    """What is a tensor, or converts to one."""
    try:
        return ops.convert_to_tensor(values)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{argument} must be a tensor of Keras's backend or convert to one; got "
            f"{type(values).__name__}"
        ) from error


def floating(argument: str, values: object) -> Tensor:
    """Real floating-point numbers, as a tensor."""
    tensor = as_tensor(argument, values)
    check_floating(argument, keras.backend.standardize_dtype(tensor.dtype), is_floating(tensor))
    return tensor


def _check_finite(
    values: Tensor, error: Callable[[str], Exception], least: float = -math.inf
) -> None:
    """Raise ``error`` unless all is finite and at least ``least``; a trace has nothing to see."""
    if is_symbolic(values):
        return
    smallest, greatest = float(ops.min(values)), float(ops.max(values))
    if not (smallest >= least and bool(ops.all(ops.isfinite(values)))):
        # The smallest of numbers and NaN may be a number.
        holds_nan = bool(ops.any(ops.isnan(values)))
        raise error(span(math.nan if holds_nan else smallest, greatest))
