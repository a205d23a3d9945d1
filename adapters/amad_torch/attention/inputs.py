"""Inputs: checked attention maps, the mask of cells that count, heads as vectors."""

import torch
from torch import Tensor

from amad_core.arguments.loss_masks import check_mask
from amad_core.arguments.maps import bad_values, check_floating, check_map_shapes


def checked_maps(
    teacher: Tensor, student: Tensor, mask: Tensor | None, check_values: bool | None
) -> tuple[Tensor, Tensor]:
    """Both maps ``[B, H, Q, K]`` in the accumulation dtype, 0 in every masked cell.

    Masking comes before norms, inner products and sums, and nothing is renormalised by hand; what
    a masked cell held, NaN included, is gone from here on. The teacher is detached [D].
    """
    for argument, maps in (("teacher", teacher), ("student", student)):
        _check_tensor(argument, maps)
    check_map_shapes(teacher.shape, student.shape)
    dtype = accumulation_dtype(teacher, student)
    teacher, student = teacher.detach().to(dtype), student.to(dtype)
    if mask is not None:
        valid = broadcast_mask(mask, student).unsqueeze(1)
        # `where` and not a product: 0 * NaN is NaN.
        teacher, student = teacher.where(valid, 0.0), student.where(valid, 0.0)
    for argument, maps in (("teacher", teacher), ("student", student)):
        _check_values(argument, maps, check_values)
    return teacher, student


def broadcast_mask(mask: Tensor | None, maps: Tensor) -> Tensor:
    """The mask ``[B, Q, K]`` of maps ``[B, H, Q, K]``; all true where there is none."""
    batch, _, queries, keys = maps.shape
    if mask is None:
        return torch.ones((batch, queries, keys), dtype=torch.bool, device=maps.device)
    if not isinstance(mask, Tensor):
        raise TypeError(f"mask must be a torch.Tensor; got {type(mask).__name__}")
    check_mask(mask.dtype, mask.dtype == torch.bool, mask.shape, maps.shape)
    return mask.to(maps.device).expand(batch, queries, keys)


def accumulation_dtype(*tensors: Tensor) -> torch.dtype:
    """float64 where one of the tensors has it, else float32: half precision is never summed in."""
    wide = any(tensor.dtype == torch.float64 for tensor in tensors)
    return torch.float64 if wide else torch.float32


def checked_parameter(argument: str, values: Tensor | None, like: Tensor) -> Tensor | None:
    """A learned parameter in the dtype of the maps."""
    if values is None:
        return None
    _check_tensor(argument, values)
    return values.to(like.dtype)


def whole_maps(maps: Tensor) -> Tensor:
    """``[B, H, Q, K]`` to one vector a head, ``[B, H, Q*K]``: eq. 2 to 11 compare whole maps."""
    return maps.flatten(2)


def query_rows(maps: Tensor) -> Tensor:
    """``[B, H, Q, K]`` to one vector a head and query, ``[B, Q, H, K]``: eq. 12 compares rows."""
    return maps.transpose(1, 2)


def _check_tensor(argument: str, values: Tensor) -> None:
    if not isinstance(values, Tensor):
        raise TypeError(f"{argument} must be a torch.Tensor; got {type(values).__name__}")
    check_floating(argument, values.dtype, values.dtype.is_floating_point)


def _check_values(argument: str, maps: Tensor, check_values: bool | None) -> None:
    if check_values is None:  # Only where reading a value back makes no device wait.
        check_values = maps.device.type == "cpu" and not torch.compiler.is_compiling()
    if not check_values:
        return
    smallest, greatest = (float(bound) for bound in torch.aminmax(maps.detach()))
    if not (smallest >= 0 and greatest < float("inf")):  # NaN fails both
        raise bad_values(argument, f"values from {smallest} to {greatest}")
