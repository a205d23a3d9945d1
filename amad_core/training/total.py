"""Total loss: outputs, task and attention, weighted."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from amad_core.attention.inputs import FloatArray, as_array
from amad_core.training.schedule import Weight, check_part, check_parts, check_scalar, weight_at


class TotalLoss(NamedTuple):
    """The weighted sum, and its parts before weighting; ``None`` for a part that was not given."""

    total: FloatArray
    output: FloatArray | None
    task: FloatArray | None
    attention: FloatArray | None


def total_loss(
    *,
    output: ArrayLike | None = None,
    task: ArrayLike | None = None,
    attention: ArrayLike | None = None,
    output_weight: Weight | None = None,
    task_weight: Weight | None = None,
    attention_weight: Weight | None = None,
    step: int | None = None,
) -> TotalLoss:
    """``L = w_output L_output + w_task L_task + λ L_attention``, with the parts for the log.

    Args:
        output: what ``output_loss`` gives, a scalar.
        task: what ``task_loss`` gives, or the task's own loss, a scalar.
        attention: what ``amad_loss`` gives, or ``amad_layers_loss`` as its ``total``.
        output_weight, task_weight, attention_weight: numbers of at least 0, or a
            :class:`LinearRamp`; ``None``: 1. A weight without its part is an error.
        step: the step of training, for a ramp.

    Returns:
        ``total``, and ``output``, ``task`` and ``attention`` as they came, unweighted.

    Raises:
        TypeError: a part that is no floating-point scalar, a weight that is no real number.
        ValueError: no part at all, a weight without its part, a negative weight, a ramp without
            ``step``.

    Source: Zhao et al., "No Head Left Behind", AAAI 2024; which parts and weights, this project's
    decision [D23].

    Examples:
        >>> task, attention = np.array(0.5), np.array(2.0)
        >>> loss = total_loss(task=task, attention=attention, attention_weight=0.1)
        >>> round(float(loss.total), 4), float(loss.attention)
        (0.7, 2.0)
    """
    parts = {"output": output, "task": task, "attention": attention}
    weights = {"output": output_weight, "task": task_weight, "attention": attention_weight}
    check_parts(parts, weights, step)
    scalars = {name: _scalar(name, part) for name, part in parts.items() if part is not None}
    total = sum(weight_at(weights[name], step) * part for name, part in scalars.items())
    return TotalLoss(
        np.asarray(total), scalars.get("output"), scalars.get("task"), scalars.get("attention")
    )


def _scalar(name: str, part: ArrayLike) -> FloatArray:
    check_part(name, part)
    value = as_array(name, part)
    check_scalar(name, np.issubdtype(value.dtype, np.floating), value.shape, value.dtype)
    return value.astype(np.float64)
