"""Inputs of the peers: checked scores, vectors and logits; attention maps are checked as AMAD's."""

import numpy as np
from numpy.typing import ArrayLike

from amad_core.arguments.loss_masks import check_position_mask
from amad_core.arguments.maps import check_map_shapes
from amad_core.arguments.peers import (
    check_logit_shapes,
    check_vector_shapes,
    not_finite,
)
from amad_core.attention.inputs import (
    BoolArray,
    FloatArray,
    as_array,
    broadcast_mask,
    checked_maps,
    floating,
)


def maps_and_cells(
    teacher: ArrayLike, student: ArrayLike, mask: ArrayLike | None
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Attention maps ``[B, H, Q, K]``, 0 in masked cells, and which cells count ``[B, Q, K]``."""
    teacher_maps, student_maps = checked_maps(teacher, student, mask)
    return teacher_maps, student_maps, broadcast_mask(mask, teacher_maps.shape)


def scores_and_cells(
    teacher: ArrayLike, student: ArrayLike, mask: ArrayLike | None
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Scores of any sign ``[B, H, Q, K]``, 0 in masked cells, and the cells that count."""
    teacher_scores = floating("teacher", teacher)
    student_scores = floating("student", student)
    check_map_shapes(teacher_scores.shape, student_scores.shape)
    valid = broadcast_mask(mask, teacher_scores.shape)
    counts = valid[:, np.newaxis]
    return (
        finite_where("teacher", teacher_scores, counts),
        finite_where("student", student_scores, counts),
        valid,
    )


def vectors_and_cells(
    teacher: ArrayLike, student: ArrayLike, mask: ArrayLike | None
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Vectors a token ``[B, H, L, d]``, and the relation cells that count ``[B, L, L]``.

    A token of which no cell counts, neither as query nor as key, is set to 0 first: what it held,
    NaN included, is gone from here on.
    """
    teacher_vectors = floating("teacher", teacher)
    student_vectors = floating("student", student)
    check_vector_shapes(teacher_vectors.shape, student_vectors.shape)
    batch, heads, tokens, _ = teacher_vectors.shape
    valid = broadcast_mask(mask, (batch, heads, tokens, tokens))
    counts = (np.any(valid, axis=2) | np.any(valid, axis=1))[:, np.newaxis, :, np.newaxis]
    return (
        finite_where("teacher", teacher_vectors, counts),
        finite_where("student", student_vectors, counts),
        valid,
    )


def logits_and_positions(
    teacher: ArrayLike, student: ArrayLike, mask: ArrayLike | None
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Logits ``[B, C]`` or ``[B, L, C]``, 0 where masked, and the positions that count."""
    teacher_logits = floating("teacher", teacher)
    student_logits = floating("student", student)
    check_logit_shapes(teacher_logits.shape, student_logits.shape)
    positions = teacher_logits.shape[:-1]
    valid = np.ones(positions, dtype=bool)
    if mask is not None:
        given = as_array("mask", mask)
        check_position_mask(given.dtype, given.dtype == bool, given.shape, teacher_logits.shape)
        valid = np.broadcast_to(given, positions)
    counts = valid[..., np.newaxis]
    return (
        finite_where("teacher", teacher_logits, counts),
        finite_where("student", student_logits, counts),
        valid,
    )


def finite_where(argument: str, values: FloatArray, counts: BoolArray) -> FloatArray:
    """``values`` with 0 where they do not count, checked to be finite where they do."""
    kept = np.where(counts, values, 0.0)
    bad = np.argwhere(~np.isfinite(kept))
    if len(bad):
        index = tuple(int(i) for i in bad[0])
        raise not_finite(argument, f"{kept[index]} at index {index}")
    return kept
