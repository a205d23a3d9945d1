"""Inputs of the peers: checked scores, vectors and logits; attention maps are checked as AMAD's."""

from functools import partial

import torch
from torch import Tensor

from amad_core.arguments.loss_masks import check_position_mask
from amad_core.arguments.maps import check_map_shapes
from amad_core.arguments.peers import (
    check_logit_shapes,
    check_vector_shapes,
    not_finite,
)
from amad_torch.attention.inputs import (
    accumulation_dtype,
    as_tensor,
    broadcast_mask,
    checked_maps,
    floating,
)
from amad_torch.attention.value_checks import check_finite


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
    check_map_shapes(teacher.shape, student.shape)
    valid = broadcast_mask(mask, student)
    counts = valid.unsqueeze(1)
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
    check_vector_shapes(teacher.shape, student.shape)
    batch, _, tokens, _ = student.shape
    valid = broadcast_mask(mask, student[..., :1].expand(batch, -1, tokens, tokens))
    counts = (valid.any(dim=2) | valid.any(dim=1))[:, None, :, None]
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
    check_logit_shapes(teacher.shape, student.shape)
    positions = student.shape[:-1]
    valid = torch.ones(positions, dtype=torch.bool, device=student.device)
    if mask is not None:
        mask = as_tensor("mask", mask)
        check_position_mask(mask.dtype, mask.dtype == torch.bool, mask.shape, student.shape)
        valid = mask.to(student.device).expand(positions)
    counts = valid.unsqueeze(-1)
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
    kept = values.where(counts, 0.0)
    check_finite(kept, partial(not_finite, argument), check_values)
    return kept


def _accumulated(teacher: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the accumulation dtype; the teacher detached [D8]."""
    teacher, student = floating("teacher", teacher), floating("student", student)
    dtype = accumulation_dtype(teacher, student)
    return teacher.detach().to(dtype), student.to(dtype)
