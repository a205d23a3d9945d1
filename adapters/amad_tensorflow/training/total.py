"""Total loss: outputs, task and attention, weighted."""

from typing import Any, NamedTuple

import tensorflow as tf

from amad_core.training.schedule import (
    LinearRamp,
    Weight,
    check_part,
    check_parts,
    check_scalar,
    check_step_tensor,
    weight_at,
)
from amad_tensorflow.attention.inputs import Tensor, accumulation_dtype, as_tensor
from amad_tensorflow.attention.tracing import as_written


class TotalLoss(NamedTuple):
    """The weighted sum, and its parts before weighting; ``None`` for a part that was not given."""

    total: Tensor
    output: Tensor | None
    task: Tensor | None
    attention: Tensor | None


@as_written
def total_loss(
    *,
    output: Tensor | None = None,
    task: Tensor | None = None,
    attention: Tensor | None = None,
    output_weight: Weight | None = None,
    task_weight: Weight | None = None,
    attention_weight: Weight | None = None,
    step: int | Tensor | None = None,
) -> TotalLoss:
    """``L = w_output L_output + w_task L_task + λ L_attention``, with the parts for the log.

    Args:
        output: what ``output_loss`` gives, a scalar.
        task: what ``task_loss`` gives, or the task's own loss, a scalar.
        attention: what ``amad_loss`` gives, or ``amad_layers_loss`` as its ``total``.
        output_weight, task_weight, attention_weight: numbers of at least 0, or a
            :class:`LinearRamp`; ``None``: 1. A weight without its part is an error.
        step: the step of training, for a ramp: an integer, or an integer tensor or variable
            of one element such as ``optimizer.iterations``, without which a ramp inside a
            ``tf.function`` stands still.

    Returns:
        ``total``, and ``output``, ``task`` and ``attention`` as they came, unweighted.

    Raises:
        TypeError: a part that is no floating-point scalar, a weight that is no real number.
        ValueError: no part at all, a weight without its part, a negative weight, a ramp without
            ``step``.

    Source: Zhao et al., "No Head Left Behind", AAAI 2024; which parts and weights, this project's
    decision [D23].

    Examples:
        >>> task, attention = tf.constant(0.5), tf.constant(2.0)
        >>> loss = total_loss(task=task, attention=attention, attention_weight=0.1)
        >>> round(float(loss.total), 4), float(loss.attention)
        (0.7, 2.0)
    """
    parts = {"output": output, "task": task, "attention": attention}
    weights = {"output": output_weight, "task": task_weight, "attention": attention_weight}
    check_parts(parts, weights, step)
    given = {name: part for name, part in parts.items() if part is not None}
    for name, part in given.items():
        _check_scalar(name, part)
    dtype = accumulation_dtype(*given.values())
    terms = [
        _weight_at(weights[name], step, dtype) * tf.cast(part, dtype)
        for name, part in given.items()
    ]
    return TotalLoss(tf.add_n(terms), output, task, attention)


def _weight_at(weight: Weight | None, step: int | Tensor | None, dtype: Any) -> Tensor:
    """A weight at a step, which may be a tensor, so that a graph follows it."""
    if not isinstance(weight, LinearRamp) or step is None or isinstance(step, int):
        return tf.constant(weight_at(weight, step), dtype)
    now = as_tensor("step", step)
    check_step_tensor(now.dtype.name, now.dtype.is_integer, now.shape[: now.shape.rank or 0])
    # float64 first: an unsigned step has no differences below 0, and float32 no steps above 2^24.
    passed = tf.cast(tf.reshape(now, []), tf.float64) - float(weight.first_step)
    way = tf.clip_by_value(passed / float(weight.last_step - weight.first_step), 0, 1)
    return tf.cast(weight.start + (weight.end - weight.start) * way, dtype)


def _check_scalar(name: str, part: Tensor) -> None:
    check_part(name, part)
    if not tf.is_tensor(part):
        raise TypeError(f"{name} must be a tf.Tensor; got {type(part).__name__}")
    check_scalar(name, part.dtype.is_floating, part.shape, part.dtype.name)
