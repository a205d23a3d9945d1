"""Inputs: queries and keys, checked, in the dtype of all sums."""

import math
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from amad_core.arguments.loss_masks import check_mask
from amad_core.arguments.maps import check_map_shapes
from amad_core.arguments.queries_keys import (
    check_broadcasts,
    check_queries_and_keys,
    check_scores,
    check_window,
)
from amad_torch.attention.inputs import accumulation_dtype, as_tensor, floating
from amad_torch.streaming.queries_keys import QueriesKeys

DIFFERENTIABLE = ("queries", "keys", "bias", "sinks")
"""The fields of ``QueriesKeys`` that may have gradients."""

TENSORS = (*DIFFERENTIABLE, "mask", "log_sum_exp")
"""Its fields that are tensors."""

FAR = 700.0
"""A number so much smaller has an exponential of 0, in float64 nearly so."""

_HUGE = 1e22
"""Of scores below it, none is left in the sum with -1e30, which hides keys."""


class Side(NamedTuple):
    """One model's queries and keys, ready to be multiplied.

    Attributes:
        attended: all tensors in the dtype of all sums, queries and keys contiguous.
        drops: whether ``bias`` may hold ``-inf``.
        finite: whether scores are known to be finite, and nothing beside the number that keys are
            hidden by: masked cells may then be multiplied by 0, which for NaN gives NaN.
        far: whether scores of a row may lie so far apart that the lesser are 0 in any dtype, as
            with a bias of -1e4, or of the smallest number of a dtype, where a key is not seen.
    """

    attended: QueriesKeys
    drops: bool
    finite: bool
    far: bool


def checked(argument: str, given: object) -> QueriesKeys:
    """The queries and keys of one model, or what is wrong with them."""
    if isinstance(given, Tensor | list | tuple):
        raise TypeError(
            f"{argument} must be QueriesKeys(queries, keys, ...) or a captured LayerAttention; got "
            f"{type(given).__name__}: maps go to amad_loss"
        )
    attended: Any = getattr(given, "attended", given)  # a captured layer reads them when asked
    if not isinstance(attended, QueriesKeys):
        raise TypeError(
            f"{argument} must be QueriesKeys(queries, keys, ...) or a captured LayerAttention; got "
            f"{type(given).__name__}"
        )
    queries, keys = (
        floating(f"{argument}.{name}", getattr(attended, name)) for name in ("queries", "keys")
    )
    check_queries_and_keys(argument, queries.shape, keys.shape)
    extra = {
        name: as_tensor(f"{argument}.{name}", getattr(attended, name))
        for name in TENSORS[2:]
        if getattr(attended, name) is not None
    }
    if "mask" in extra and extra["mask"].dtype != torch.bool:
        raise TypeError(
            f"{argument}.mask must be boolean, true where a key is seen; got dtype "
            f"{extra['mask'].dtype} (an additive mask is a bias)"
        )
    shape = attended.shape
    check_broadcasts(
        argument, shape, {name: extra[name].shape for name in ("mask", "bias") if name in extra}
    )
    check_scores(
        argument,
        attended.scale,
        attended.softcap,
        log_sum_exp_fits="log_sum_exp" not in extra or extra["log_sum_exp"].shape == shape[:3],
        sinks_fit="sinks" not in extra or extra["sinks"].shape == shape[1:2],
    )
    check_window(argument, attended.window, attended.causal, *shape[2:])
    for name, tensor in extra.items():
        if name != "mask":
            floating(f"{argument}.{name}", tensor)
        if tensor.device != queries.device:
            raise ValueError(
                f"{argument}.{name} must be where the queries are, on {queries.device}; got "
                f"{tensor.device}"
            )
    return attended


def checked_pair(
    teacher: object, student: object, mask: Tensor | None
) -> tuple[QueriesKeys, QueriesKeys, Tensor | None]:
    """Both models', and the mask of cells that count with its 3 axes."""
    one, other = checked("teacher", teacher), checked("student", student)
    check_map_shapes(one.shape, other.shape)
    device = other.queries.device
    if one.queries.device != device:
        raise ValueError(
            f"teacher and student must be on one device; got {one.queries.device} and {device}"
        )
    if mask is None:
        return one, other, None
    mask = as_tensor("mask", mask)
    check_mask(mask.dtype, mask.dtype == torch.bool, mask.shape, other.shape)
    mask = mask.to(device)
    return one, other, mask.reshape(*[1] * (3 - mask.dim()), *mask.shape)


def sides(teacher: QueriesKeys, student: QueriesKeys) -> tuple[Side, Side]:
    """Both, widened; a linear copy at most, and none of contiguous float32."""
    given = (teacher.queries, teacher.keys, student.queries, student.keys)
    widened = partial(_side, dtype=accumulation_dtype(*given))
    return widened(teacher), widened(student)


def _side(attended: QueriesKeys, dtype: torch.dtype) -> Side:
    wide = {
        name: getattr(attended, name).detach().to(dtype)
        for name in TENSORS
        if name != "mask" and getattr(attended, name) is not None
    }
    wide["queries"], wide["keys"] = wide["queries"].contiguous(), wide["keys"].contiguous()
    bias = wide.get("bias")
    if wide["queries"].device.type != "cpu":  # to look would be to wait
        has_bias = bias is not None
        return Side(replace(attended, **wide), drops=has_bias, finite=False, far=has_bias)
    both = (wide["queries"], wide["keys"])
    norms = (float(torch.linalg.vector_norm(one, dim=-1).amax()) for one in both)
    most = math.prod(norms) * abs(attended.factor)  # Cauchy and Schwarz
    least, drops = -most, False
    if bias is not None:
        lowest, highest = (float(one) for one in torch.aminmax(bias))
        drops = lowest == -math.inf or (math.isnan(lowest) and bool((bias == -math.inf).any()))
        if drops:
            lowest = float(bias.masked_fill(bias == -math.inf, 0.0).amin())
        most, least = most + max(highest, 0.0), least + min(lowest, 0.0)
    # NaN is neither finite nor near.
    finite, near = most < _HUGE and not math.isnan(least), most - least < FAR
    return Side(replace(attended, **wide), drops=drops, finite=finite, far=not near)
