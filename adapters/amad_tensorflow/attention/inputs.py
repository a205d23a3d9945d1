"""Inputs: checked attention maps, the mask of cells that count, heads as vectors."""

from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from amad_core.arguments.loss_masks import check_mask
from amad_core.arguments.maps import bad_parameter, bad_values, check_floating, check_map_shapes
from amad_tensorflow.attention.value_checks import check_finite

Tensor = Any  # tf.Tensor; TensorFlow ships no types that a checker could hold on to


def checked_maps(
    teacher: Tensor, student: Tensor, mask: Tensor | None, check_values: bool | None
) -> tuple[Tensor, Tensor]:
    """Both maps ``[B, H, Q, K]`` in the dtype of all sums, 0 in every masked cell.

    Masking comes before norms, inner products and sums, and nothing is renormalised by hand; what
    a masked cell held, NaN included, is gone from here on. The teacher gets no gradient [D8].
    """
    teacher, student = floating("teacher", teacher), floating("student", student)
    check_map_shapes(known_shape(teacher), known_shape(student))
    dtype = accumulation_dtype(teacher, student)
    teacher, student = tf.stop_gradient(tf.cast(teacher, dtype)), tf.cast(student, dtype)
    if mask is not None:
        valid = broadcast_mask(mask, student)[:, tf.newaxis]
        # `where` and not a product: 0 * NaN is NaN.
        teacher = tf.where(valid, teacher, tf.zeros_like(teacher))
        student = tf.where(valid, student, tf.zeros_like(student))
    for argument, maps in (("teacher", teacher), ("student", student)):
        check_finite(maps, partial(bad_values, argument), check_values, least=0.0)
    return teacher, student


def broadcast_mask(mask: Tensor | None, maps: Tensor) -> Tensor:
    """The mask ``[B, Q, K]`` of maps ``[B, H, Q, K]``; all true where there is none."""
    shape = tf.shape(maps)
    cells = tf.stack([shape[0], shape[2], shape[3]])
    if mask is None:
        return tf.fill(cells, True)
    mask = as_tensor("mask", mask)
    check_mask(mask.dtype.name, mask.dtype == tf.bool, known_shape(mask), known_shape(maps))
    return tf.broadcast_to(mask, cells)


def accumulation_dtype(*tensors: Tensor) -> Any:
    """float64 where one of the tensors has it, else float32: half precision is never summed in."""
    wide = any(tensor.dtype == tf.float64 for tensor in tensors)
    return tf.float64 if wide else tf.float32


def tiny(dtype: Any) -> float:
    """The smallest normal number of a floating dtype."""
    return float(np.finfo(dtype.as_numpy_dtype).tiny)


def checked_parameter(
    argument: str, values: Tensor, like: Tensor, check_values: bool | None
) -> Tensor:
    """A learned parameter in the dtype of all sums, finite as far as values are checked."""
    parameter = tf.cast(floating(argument, values), like.dtype)
    check_finite(parameter, partial(bad_parameter, argument), check_values)
    return parameter


def whole_maps(maps: Tensor) -> Tensor:
    """``[B, H, Q, K]`` to one vector a head, ``[B, H, Q*K]``: eq. 2 to 11 compare whole maps."""
    batch, heads, queries, keys = known_shape(maps)
    cells = None if queries is None or keys is None else queries * keys
    if None not in (batch, heads, cells):
        return tf.reshape(maps, [batch, heads, cells])
    shape = tf.shape(maps)
    flat = tf.reshape(maps, tf.stack([shape[0], shape[1], shape[2] * shape[3]]))
    return tf.ensure_shape(flat, [batch, heads, cells])


def query_rows(maps: Tensor) -> Tensor:
    """``[B, H, Q, K]`` to one vector a head and query, ``[B, Q, H, K]``: eq. 12 compares rows."""
    return tf.transpose(maps, [0, 2, 1, 3])


def known_shape(tensor: Tensor) -> list[int | None]:
    """The shape as far as the graph knows it; ``None`` for a length that it does not know."""
    if tensor.shape.rank is None:
        raise ValueError("attention maps and masks must have a known number of axes; got none")
    return list(tensor.shape)


def as_tensor(argument: str, values: object) -> Tensor:
    """What is a tensor, or converts to one."""
    try:
        return tf.convert_to_tensor(values)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{argument} must be a tf.Tensor or convert to one; got {type(values).__name__}"
        ) from error


def floating(argument: str, values: object) -> Tensor:
    """Real floating-point numbers, as a tensor."""
    tensor = as_tensor(argument, values)
    check_floating(argument, tensor.dtype.name, tensor.dtype.is_floating)
    return tensor
