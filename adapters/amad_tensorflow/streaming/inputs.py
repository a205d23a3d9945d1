"""Inputs: queries and keys, checked, in the dtype of all sums."""

from dataclasses import fields, replace
from typing import Any

import tensorflow as tf

from amad_core.arguments.loss_masks import check_mask
from amad_core.arguments.maps import check_map_shapes
from amad_core.arguments.queries_keys import (
    check_broadcasts,
    check_queries_and_keys,
    check_scores,
    check_window,
)
from amad_tensorflow.attention.inputs import (
    Tensor,
    accumulation_dtype,
    as_tensor,
    floating,
    known_shape,
)
from amad_tensorflow.streaming.queries_keys import QueriesKeys

DIFFERENTIABLE = ("queries", "keys", "bias", "sinks")
"""The fields of ``QueriesKeys`` that may have gradients."""

TENSORS = (*DIFFERENTIABLE, "mask", "log_sum_exp")
"""Its fields that are tensors."""

Shape = list[int | None]


def checked(argument: str, given: object) -> QueriesKeys:
    """The queries and keys of one model as tensors, or what is wrong with them."""
    attended: Any = getattr(given, "attended", given)  # a captured layer reads them when asked
    if not (hasattr(attended, "queries") and hasattr(attended, "keys")):
        maps = ": maps go to amad_loss" if hasattr(given, "shape") else ""
        raise TypeError(
            f"{argument} must be QueriesKeys(queries, keys, ...) or a captured LayerAttention; got "
            f"{type(given).__name__}{maps}"
        )
    known = {field.name for field in fields(QueriesKeys)}
    given_fields = {name: getattr(attended, name) for name in known if hasattr(attended, name)}
    for name in TENSORS:
        value = given_fields.get(name)
        if value is not None:
            take = as_tensor if name == "mask" else floating
            value = take(f"{argument}.{name}", value)
            if name in ("mask", "bias") and attended is not given:  # a layer's may have fewer axes
                value = value[(tf.newaxis,) * (4 - value.shape.rank)]
            given_fields[name] = value
    found = _with_a_number_as_scale(QueriesKeys(**given_fields))
    _check(argument, found)
    sinks = found.sinks
    if sinks is not None and sinks.shape.rank == 1:
        found = replace(found, sinks=tf.reshape(sinks, [1, -1, 1, 1]))
    return found


def _with_a_number_as_scale(attended: QueriesKeys) -> QueriesKeys:
    """A scale that is a tensor may be learned: queries are multiplied by it, and it by nothing."""
    if attended.scale is None or isinstance(attended.scale, int | float):
        return attended
    scale = tf.cast(attended.scale, attended.queries.dtype)
    return replace(attended, queries=attended.queries * scale, scale=1.0)


def _check(argument: str, attended: QueriesKeys) -> None:
    queries, keys = known_shape(attended.queries), known_shape(attended.keys)
    both = [list(queries), list(keys)]
    if len(queries) == len(keys) == 4:
        for axis in (0, 3):
            both[1][axis] = _like(both[1], both[0])[axis]
            both[0][axis] = _like(both[0], both[1])[axis]
    check_queries_and_keys(argument, *both)
    if attended.mask is not None and attended.mask.dtype != tf.bool:
        raise TypeError(
            f"{argument}.mask must be boolean, true where a key is seen; got dtype "
            f"{attended.mask.dtype.name} (an additive mask is a bias)"
        )
    shape = [queries[0], queries[1], queries[2], keys[2]]
    for name in ("mask", "bias"):
        value = getattr(attended, name)
        if value is not None:
            length = known_shape(value)
            agreed = _like(length, shape) if len(length) == 4 else length
            maps = _like(shape, agreed) if len(length) == 4 else shape
            check_broadcasts(argument, maps, {name: agreed})
    check_scores(
        argument,
        attended.scale,
        attended.softcap,
        log_sum_exp_fits=_fits(attended.log_sum_exp, shape[:3]),
        sinks_fit=_fits(attended.sinks, shape[1:2])
        or _fits(attended.sinks, [*shape[:3], 1], broadcasts=True),
    )
    lengths = shape[2:] if None not in shape[2:] else [1, 1]
    check_window(argument, attended.window, attended.causal, *lengths)


def _like(shape: Shape, other: Shape) -> Shape:
    """The lengths, those of ``other`` where they are not known."""
    return [o if s is None else s for s, o in zip(shape, other, strict=True)]


def _fits(tensor: Tensor | None, shape: Shape, *, broadcasts: bool = False) -> bool:
    if tensor is None:
        return True
    found = known_shape(tensor)
    return len(found) == len(shape) and all(
        None in (one, wanted) or one == wanted or (broadcasts and one == 1)
        for one, wanted in zip(found, shape, strict=True)
    )


def checked_pair(
    teacher: object, student: object, mask: Tensor | None
) -> tuple[QueriesKeys, QueriesKeys, Tensor | None]:
    """Both models', and the mask of cells that count with its 3 axes."""
    one, other = checked("teacher", teacher), checked("student", student)
    check_map_shapes(list(one.shape), list(other.shape))
    if mask is None:
        return one, other, None
    mask = as_tensor("mask", mask)
    shape = known_shape(mask)
    check_mask(mask.dtype.name, mask.dtype == tf.bool, shape, list(other.shape))
    return one, other, tf.reshape(mask, tf.concat([[1] * (3 - len(shape)), tf.shape(mask)], 0))


def widened(teacher: QueriesKeys, student: QueriesKeys) -> tuple[QueriesKeys, QueriesKeys]:
    """Both in the dtype of all sums; the teacher gets no gradient [D8]."""
    dtype = accumulation_dtype(teacher.queries, teacher.keys, student.queries, student.keys)

    def wide(attended: QueriesKeys) -> QueriesKeys:
        found = {
            name: tf.cast(value, dtype)
            for name in DIFFERENTIABLE
            if (value := getattr(attended, name)) is not None
        }
        return replace(attended, **found, log_sum_exp=None)  # a softmax costs no more

    still = {
        name: tf.stop_gradient(value)
        for name in DIFFERENTIABLE
        if (value := getattr(teacher, name)) is not None
    }
    return wide(replace(teacher, **still)), wide(student)
