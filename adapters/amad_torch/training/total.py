"""Total loss: outputs, task and attention, weighted."""

from typing import NamedTuple

import torch
from torch import Tensor

from amad_core.training.schedule import Weight, check_part, check_parts, check_scalar, weight_at
from amad_torch.attention.inputs import accumulation_dtype


class TotalLoss(NamedTuple):
    """The weighted sum, and its parts before weighting; ``None`` for a part that was not given."""

    total: Tensor
    output: Tensor | None
    task: Tensor | None
    attention: Tensor | None


def total_loss(
    *,
    output: Tensor | None = None,
    task: Tensor | None = None,
    attention: Tensor | None = None,
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
        >>> task, attention = torch.tensor(0.5), torch.tensor(2.0)
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
    dtype, device = accumulation_dtype(*given.values()), next(iter(given.values())).device
    terms = [
        weight_at(weights[name], step) * part.to(device, dtype) for name, part in given.items()
    ]
    total = torch.stack(terms).sum()
    return TotalLoss(total, output, task, attention)


def _check_scalar(name: str, part: Tensor) -> None:
    check_part(name, part)
    if not isinstance(part, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor; got {type(part).__name__}")
    check_scalar(name, part.is_floating_point(), part.shape, part.dtype)
