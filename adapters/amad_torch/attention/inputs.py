"""Inputs: checked attention maps, the mask of cells that count, heads as vectors."""

from functools import partial

import torch
from torch import Tensor

from amad_core.arguments.loss_masks import check_mask
from amad_core.arguments.maps import bad_parameter, bad_values, check_floating, check_map_shapes
from amad_torch.attention.saved import kept_by_autograd
from amad_torch.attention.value_checks import check_finite


def checked_maps(
    teacher: Tensor, student: Tensor, mask: Tensor | None, check_values: bool | None
) -> tuple[Tensor, Tensor]:
    """Both maps ``[B, H, Q, K]`` in the dtype of all sums, 0 in every masked cell.

    Masking comes before norms, inner products and sums, and nothing is renormalised by hand; what
    a masked cell held, NaN included, is gone from here on. The teacher gets no gradient [D8].
    """
    teacher, student = floating("teacher", teacher), floating("student", student)
    check_map_shapes(teacher.shape, student.shape)
    dtype = accumulation_dtype(teacher, student)
    teacher, student = teacher.detach().to(dtype), student.to(dtype)
    if mask is not None:
        valid = broadcast_mask(mask, student).unsqueeze(1)
        # `where` and not a product: 0 * NaN is NaN.
        teacher, student = teacher.where(valid, 0.0), student.where(valid, 0.0)
    for argument, maps in (("teacher", teacher), ("student", student)):
        check_finite(maps, partial(bad_values, argument), check_values, least=0.0)
    return teacher, student


def broadcast_mask(mask: Tensor | None, maps: Tensor) -> Tensor:
    """The mask ``[B, Q, K]`` of maps ``[B, H, Q, K]``; all true where there is none."""
    batch, _, queries, keys = maps.shape
    if mask is None:
        return torch.ones((batch, queries, keys), dtype=torch.bool, device=maps.device)
    mask = as_tensor("mask", mask)
    check_mask(mask.dtype, mask.dtype == torch.bool, mask.shape, maps.shape)
    return kept_by_autograd(mask).to(maps.device).expand(batch, queries, keys)


def accumulation_dtype(*tensors: Tensor) -> torch.dtype:
    """float64 where one of the tensors has it, else float32: half precision is never summed in."""
    wide = any(tensor.dtype == torch.float64 for tensor in tensors)
    return torch.float64 if wide else torch.float32


def checked_parameter(
    argument: str, values: Tensor, like: Tensor, check_values: bool | None
) -> Tensor:
    """A learned parameter in the dtype of all sums, finite as far as values are checked."""
    parameter = floating(argument, values).to(like.dtype)
    check_finite(parameter, partial(bad_parameter, argument), check_values)
    return parameter


def whole_maps(maps: Tensor) -> Tensor:
    """``[B, H, Q, K]`` to one vector a head, ``[B, H, Q*K]``: eq. 2 to 11 compare whole maps."""
    return maps.flatten(2)


def query_rows(maps: Tensor) -> Tensor:
    """``[B, H, Q, K]`` to one vector a head and query, ``[B, Q, H, K]``: eq. 12 compares rows."""
    return maps.transpose(1, 2)


def as_tensor(argument: str, values: object) -> Tensor:
    """What is a tensor."""
    if not isinstance(values, Tensor):
        raise TypeError(f"{argument} must be a torch.Tensor; got {type(values).__name__}")
    return values


def floating(argument: str, values: object) -> Tensor:
    """Real floating-point numbers, as a tensor."""
    tensor = as_tensor(argument, values)
    check_floating(argument, tensor.dtype, tensor.dtype.is_floating_point)
    return tensor
