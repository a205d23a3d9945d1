"""Tensors of whichever backend Keras has: what capture asks of them and does with them."""

from collections.abc import Callable
from typing import Any, TypeVar

import keras

Tensor = Any
Function = TypeVar("Function", bound=Callable[..., Any])


def rank(tensor: Tensor) -> int | None:
    """The number of axes; ``None`` where a graph does not know it."""
    try:
        return len(tensor.shape)
    except ValueError:
        return None


def lengths(tensor: Tensor) -> list[Any]:
    """The shape, as numbers where they are known, else as tensors of a graph."""
    return list(keras.ops.shape(tensor))


def number_of_cells(tensor: Tensor) -> int | None:
    """How many cells there are; ``None`` where a graph does not know it."""
    if rank(tensor) is None:
        return None
    cells = 1
    for length in tensor.shape:
        if length is None:
            return None
        cells *= int(length)
    return cells


def is_floating(tensor: Tensor) -> bool:
    """Whether it holds real floating-point numbers."""
    return "float" in _dtype(tensor)


def is_number(tensor: Tensor) -> bool:
    """Whether it holds real numbers, no booleans and nothing else."""
    return is_floating(tensor) or "int" in _dtype(tensor)


def _dtype(tensor: Tensor) -> str:
    return str(getattr(tensor.dtype, "name", tensor.dtype))


def accumulation_dtype(*tensors: Tensor) -> str:
    """float64 where one of the tensors has it, else float32: half precision is never summed in."""
    return "float64" if any("float64" in _dtype(tensor) for tensor in tensors) else "float32"


def known_shape(tensor: Tensor) -> list[int | None]:
    """The shape as far as it is known; ``None`` for a length that a graph does not know."""
    return [None if length is None else int(length) for length in tensor.shape]


def as_written(function: Function) -> Function:
    """Keeps AutoGraph, where there is one, from rewriting a function that needs no rewriting."""
    if keras.config.backend() != "tensorflow":
        return function
    import tensorflow as tf

    unconverted: Function = tf.autograph.experimental.do_not_convert(function)
    return unconverted
