"""Inputs: checked attention maps, the mask of cells that count, heads as vectors."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amad_core.arguments.loss_masks import check_mask
from amad_core.arguments.maps import bad_parameter, bad_values, check_floating, check_map_shapes

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


def checked_maps(
    teacher: ArrayLike, student: ArrayLike, mask: ArrayLike | None
) -> tuple[FloatArray, FloatArray]:
    """Both maps ``[B, H, Q, K]`` in the dtype of all sums, 0 in every masked cell.

    Masking comes before norms, inner products and sums, and nothing is renormalised by hand; what
    a masked cell held, NaN included, is gone from here on. The teacher gets no gradient [D8].
    """
    teacher_maps, student_maps = floating("teacher", teacher), floating("student", student)
    check_map_shapes(teacher_maps.shape, student_maps.shape)
    valid = broadcast_mask(mask, teacher_maps.shape)[:, np.newaxis]
    teacher_maps = np.where(valid, teacher_maps, 0.0)
    student_maps = np.where(valid, student_maps, 0.0)
    _check_values("teacher", teacher_maps)
    _check_values("student", student_maps)
    return teacher_maps, student_maps


def broadcast_mask(mask: ArrayLike | None, shape: tuple[int, ...]) -> BoolArray:
    """The mask ``[B, Q, K]`` of maps ``[B, H, Q, K]``; all true where there is none."""
    batch, _, queries, keys = shape
    if mask is None:
        return np.ones((batch, queries, keys), dtype=bool)
    valid = as_array("mask", mask)
    check_mask(valid.dtype, valid.dtype == bool, valid.shape, shape)
    return np.broadcast_to(valid, (batch, queries, keys))


def checked_parameter(argument: str, values: ArrayLike) -> FloatArray:
    """A learned parameter in the dtype of all sums, finite as far as values are checked."""
    array = floating(argument, values)
    if not np.isfinite(array).all():
        raise bad_parameter(argument, _first_not_finite(array))
    return array


def whole_maps(maps: NDArray[Any]) -> NDArray[Any]:
    """``[B, H, Q, K]`` to one vector a head, ``[B, H, Q*K]``: eq. 2 to 11 compare whole maps."""
    batch, heads, queries, keys = maps.shape
    return maps.reshape(batch, heads, queries * keys)


def query_rows(maps: NDArray[Any]) -> NDArray[Any]:
    """``[B, H, Q, K]`` to one vector a head and query, ``[B, Q, H, K]``: eq. 12 compares rows."""
    return np.moveaxis(maps, 2, 1)


def as_array(argument: str, values: ArrayLike) -> NDArray[Any]:
    """What is an array, or converts to one."""
    try:
        return np.asarray(values)
    except (TypeError, ValueError, OverflowError) as error:  # rows of several lengths, 10**400
        raise TypeError(
            f"{argument} must be an array or convert to one; got {type(values).__name__}"
        ) from error


def floating(argument: str, values: ArrayLike) -> FloatArray:
    """Real floating-point numbers, as float64."""
    array = as_array(argument, values)
    check_floating(argument, array.dtype, np.issubdtype(array.dtype, np.floating))
    return array.astype(np.float64)


def _check_values(argument: str, maps: FloatArray) -> None:
    if not np.isfinite(maps).all():
        raise bad_values(argument, _first_not_finite(maps))
    if (maps < 0).any():
        raise bad_values(argument, f"a smallest value of {maps.min()}")


def _first_not_finite(array: FloatArray) -> str:
    index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
    return f"{array[index]} at index {index}"
