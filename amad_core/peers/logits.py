"""Output distillation: temperature-softened logits."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from amad_core.arguments.maps import check_temperature
from amad_core.attention.inputs import BoolArray, FloatArray
from amad_core.peers.inputs import logits_and_positions
from amad_core.peers.reduction import reduced
from amad_core.training.output_losses import token_kl, token_kl_gradient


def logits_kl(
    *,
    teacher: ArrayLike,
    student: ArrayLike,
    temperature: float = 1.0,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
) -> FloatArray:
    """KL divergence of softened outputs, times temperature squared; 0 for equal logits, >= 0.

    ``τ² KL(softmax(z^T/τ) ‖ softmax(z^S/τ))``, the mean over the positions of the sample that
    count. The factor keeps the gradient's size as τ grows. A batch mean is a mean of the samples'
    means, so every sample weighs the same however many positions it has.

    TinyBERT's prediction loss is another convention: the cross-entropy instead of the divergence,
    a mean over the ``C`` classes too, and no ``τ²``, so its gradient is this one over ``C τ²``.

    Args:
        teacher: logits ``[B, C]`` or ``[B, L, C]``, floats of any sign; gets no gradient.
        student: logits of the same shape.
        temperature: τ > 0.
        reduction: over the batch: ``"mean"``, ``"sum"``, or ``"none"`` for one loss a sample.
        mask: boolean, broadcastable to ``[B]`` or ``[B, L]``, true where a position counts.
            What a masked position holds has no influence; a sample without any gives 0.

    Returns:
        A scalar, or ``[B]`` with ``reduction="none"``; float64.

    Raises:
        TypeError: logits that are not real floats, a mask that is not boolean.
        ValueError: other axes than stated, different shapes, an empty axis, a mask that does not
            broadcast, a temperature of 0 or below, an unknown reduction; NaN or infinite logits
            that count.

    Source: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, section 2.
    """
    both, valid = _checked(teacher, student, mask, temperature)
    # Masked positions are 0 on both sides and so without divergence.
    losses = token_kl(*both, float(temperature))
    return reduced(np.sum(losses, axis=tuple(range(1, losses.ndim))) / _positions(valid), reduction)


def logits_kl_gradient(
    *,
    teacher: ArrayLike,
    student: ArrayLike,
    temperature: float = 1.0,
    mask: ArrayLike | None = None,
) -> Mapping[str, FloatArray]:
    """``τ (softmax(z^S/τ) - softmax(z^T/τ))`` over the positions that count of the sample."""
    both, valid = _checked(teacher, student, mask, temperature)
    gradient = token_kl_gradient(*both, float(temperature))
    return {"student": gradient / _positions(valid).reshape(-1, *(1,) * (gradient.ndim - 1))}


def _checked(
    teacher: ArrayLike, student: ArrayLike, mask: ArrayLike | None, temperature: float
) -> tuple[tuple[FloatArray, FloatArray], BoolArray]:
    check_temperature(temperature)
    teacher_logits, student_logits, valid = logits_and_positions(teacher, student, mask)
    return (teacher_logits, student_logits), valid


def _positions(valid: BoolArray) -> FloatArray:
    positions = np.sum(valid.reshape(len(valid), -1), axis=1)
    return np.asarray(np.maximum(positions, 1), dtype=np.float64)
