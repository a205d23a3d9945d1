"""Both passes for eager calls: each one call of a graph, traced once for all shapes.

There are as many graphs as there are variants, dtypes and ways to go through the samples, and never
more: shapes, temperature and ``eps`` are none of a graph's business. Guarded by
tests/closed_form/test_tensorflow.py.
"""

from functools import cache
from typing import Any, NamedTuple

import tensorflow as tf

from amad_tensorflow.attention.inputs import Tensor
from amad_tensorflow.attention.tracing import as_written
from amad_tensorflow.closed_form import losses
from amad_tensorflow.closed_form.options import Options


class Passes(NamedTuple):
    """The two passes as functions of tensors alone."""

    forward: Any
    backward: Any


def forward(teacher: Tensor, student: Tensor, options: Options) -> tuple[Tensor, Any]:
    """``losses.forward``."""
    found: tuple[Tensor, Any] = _passes_of(options, student).forward(
        teacher, student, options.temperature, options.eps
    )
    return found


def backward(
    teacher: Tensor, student: Tensor, options: Options, kept: Any, upstream: Tensor
) -> Tensor:
    """``losses.backward``."""
    return _passes_of(options, student).backward(
        teacher, student, options.temperature, options.eps, kept, upstream
    )


def _passes_of(options: Options, student: Tensor) -> Passes:
    return _passes(options.variant, options.at_once, student.dtype)


@cache
def _passes(variant: str, at_once: bool, dtype: tf.DType) -> Passes:
    maps, number = tf.TensorSpec([None] * 4, dtype), tf.TensorSpec([], tf.float64)
    signature = [maps, maps, number, number]

    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
    @as_written
    def forward(teacher: Tensor, student: Tensor, temperature: Tensor, eps: Tensor) -> Any:
        return losses.forward(teacher, student, Options(variant, temperature, eps, at_once))

    kept = tf.nest.map_structure(
        lambda one: tf.TensorSpec(one.shape, one.dtype),
        forward.get_concrete_function().structured_outputs[1],
    )

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[*signature, kept, tf.TensorSpec([None], dtype)]
    )
    @as_written
    def backward(
        teacher: Tensor, student: Tensor, temperature: Tensor, eps: Tensor, kept: Any, upstream: Any
    ) -> Tensor:
        options = Options(variant, temperature, eps, at_once)
        return losses.backward(teacher, student, options, kept, upstream)

    return Passes(forward, backward)
