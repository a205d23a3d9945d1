"""Inputs of the peers: checked scores, vectors and logits; attention maps are checked as AMAD's."""

from functools import partial
from typing import Any

import tensorflow as tf

from amad_core.arguments.loss_masks import check_position_mask
from amad_core.arguments.maps import check_map_shapes
from amad_core.arguments.peers import (
    check_logit_shapes,
    check_vector_shapes,
    not_finite,
)
from amad_tensorflow.attention.inputs import (
    Tensor,
    accumulation_dtype,
    as_tensor,
    broadcast_mask,
    checked_maps,
    floating,
    known_shape,
)
from amad_tensorflow.attention.value_checks import check_finite


def maps_and_cells(
    teacher: Tensor, student: Tensor, mask: Tensor | None, check_values: bool | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Attention maps ``[B, H, Q, K]``, 0 in masked cells, and which cells count ``[B, Q, K]``."""
    teacher, student = checked_maps(teacher, student, mask, check_values)
    return teacher, student, broadcast_mask(mask, student)


def scores_and_cells(
    teacher: Tensor, student: Tensor, mask: Tensor | None, check_values: bool | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Scores of any sign ``[B, H, Q, K]``, 0 in masked cells, and the cells that count."""
    teacher, student = _accumulated(teacher, student)
    check_map_shapes(known_shape(teacher), known_shape(student))
    valid = broadcast_mask(mask, student)
    counts = valid[:, tf.newaxis]
    return (
        finite_where("teacher", teacher, counts, check_values),
        finite_where("student", student, counts, check_values),
        valid,
    )


def vectors_and_cells(
    teacher: Tensor, student: Tensor, mask: Tensor | None, check_values: bool | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Vectors a token ``[B, H, L, d]``, and the relation cells that count ``[B, L, L]``.

    A token of which no cell counts, neither as query nor as key, is set to 0 first: what it held,
    NaN included, is gone from here on.
    """
    teacher, student = _accumulated(teacher, student)
    check_vector_shapes(known_shape(teacher), known_shape(student))
    valid = broadcast_mask(mask, _relation_cells(student))
    counts = tf.reduce_any(valid, axis=2) | tf.reduce_any(valid, axis=1)
    counts = counts[:, tf.newaxis, :, tf.newaxis]
    return (
        finite_where("teacher", teacher, counts, check_values),
        finite_where("student", student, counts, check_values),
        valid,
    )


def logits_and_positions(
    teacher: Tensor, student: Tensor, mask: Tensor | None, check_values: bool | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits ``[B, C]`` or ``[B, L, C]``, 0 where masked, and the positions that count."""
    teacher, student = _accumulated(teacher, student)
    check_logit_shapes(known_shape(teacher), known_shape(student))
    valid = tf.ones_like(student[..., 0], dtype=tf.bool)
    if mask is not None:
        mask = as_tensor("mask", mask)
        check_position_mask(
            mask.dtype.name, mask.dtype == tf.bool, known_shape(mask), known_shape(student)
        )
        valid &= mask
    counts = valid[..., tf.newaxis]
    return (
        finite_where("teacher", teacher, counts, check_values),
        finite_where("student", student, counts, check_values),
        valid,
    )


def finite_where(
    argument: str, values: Tensor, counts: Tensor, check_values: bool | None
) -> Tensor:
    """``values`` with 0 where they do not count, checked to be finite where they do."""
    # `where` and not a product: 0 * NaN is NaN.
    kept = tf.where(counts, values, tf.zeros_like(values))
    check_finite(kept, partial(not_finite, argument), check_values)
    return kept


def as_dtype(count: Tensor, dtype: Any) -> Tensor:
    """A count as a divisor: at least 1, so that a sample without any gives 0."""
    return tf.cast(tf.maximum(count, 1), dtype)


def _accumulated(teacher: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the accumulation dtype; the teacher detached [D8]."""
    teacher, student = floating("teacher", teacher), floating("student", student)
    dtype = accumulation_dtype(teacher, student)
    return tf.stop_gradient(tf.cast(teacher, dtype)), tf.cast(student, dtype)


def _relation_cells(vectors: Tensor) -> Tensor:
    """Anything of shape ``[B, 1, L, L]``, as far as the graph knows it, for ``broadcast_mask``."""
    column = tf.zeros_like(vectors[:, :1, :, :1])
    return column + tf.transpose(column, [0, 1, 3, 2])
