"""Output losses: the teacher's softened outputs, and the task's own labels."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, softmax

from amad_core.arguments.maps import REDUCTIONS, check_temperature
from amad_core.arguments.outputs import (
    bad_labels,
    bad_logits,
    check_labels,
    check_logits,
    check_same_logits,
    check_token_mask,
)
from amad_core.arguments.words import check_choice, integer
from amad_core.attention.inputs import BoolArray, FloatArray, as_array, floating


def output_loss(
    *,
    teacher: ArrayLike,
    student: ArrayLike,
    temperature: float = 1.0,
    mask: ArrayLike | None = None,
    reduction: str = "mean",
) -> FloatArray:
    """How far the student's outputs are from the teacher's; at least 0, 0 for equal outputs.

    ``τ² KL(softmax(t/τ) ‖ softmax(s/τ))`` of every token (of every sample, in classification).
    With ``τ²`` the gradient stays of one size whatever the temperature.

    Args:
        teacher: logits ``[B, C]`` of a classifier or ``[B, T, C]`` of a sequence model, finite;
            get no gradient.
        student: logits of the same shape; a causal model's are compared position by position.
        temperature: τ > 0, of both softmaxes.
        mask: boolean ``[B]`` or ``[B, T]``, true where a token counts; ``None``: all do. What a
            masked token holds, NaN included, has no influence.
        reduction: ``"mean"`` over the tokens that count in the whole batch (0 where none does),
            ``"sum"`` over them, or ``"none"``, 0 where a token does not count.

    Returns:
        A scalar, or ``[B]`` or ``[B, T]`` with ``reduction="none"``; float64.

    Raises:
        TypeError: logits that are not real floats, a mask that is not boolean.
        ValueError: wrong rank, shapes that differ, a single class, an unknown reduction, a
            temperature of 0 or below; logits that are not finite where they count.

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, section 2.

    Examples:
        >>> teacher, student = np.array([[2.0, 0.0, 1.0]]), np.array([[1.0, 0.0, 1.0]])
        >>> round(float(output_loss(teacher=teacher, student=student, temperature=2.0)), 4)
        0.124
    """
    return output_loss_and_grad(
        teacher=teacher,
        student=student,
        temperature=temperature,
        mask=mask,
        reduction=reduction,
    )[0]


def output_loss_and_grad(
    *,
    teacher: ArrayLike,
    student: ArrayLike,
    temperature: float = 1.0,
    mask: ArrayLike | None = None,
    reduction: str = "mean",
) -> tuple[FloatArray, FloatArray]:
    """The loss of ``output_loss``, and its gradient with respect to the student's logits.

    ``∂L/∂s = τ (softmax(s/τ) - softmax(t/τ))`` of a token that counts, divided by their number with
    ``reduction="mean"``; with ``"none"``, of the sum.
    """
    check_choice("reduction", reduction, REDUCTIONS)
    check_temperature(temperature)
    teacher_logits, student_logits = _logits("teacher", teacher), _logits("student", student)
    check_same_logits(teacher_logits.shape, student_logits.shape)
    counts = _token_mask(mask, student_logits.shape)
    teacher_logits = _counted("teacher", teacher_logits, counts)
    student_logits = _counted("student", student_logits, counts)
    losses = token_kl(teacher_logits, student_logits, float(temperature))
    gradient = token_kl_gradient(teacher_logits, student_logits, float(temperature))
    return _reduced(losses, gradient, counts, reduction)


def task_loss(
    *,
    student: ArrayLike,
    labels: ArrayLike,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> FloatArray:
    """The cross-entropy of the student's outputs with the task's labels; at least 0.

    ``-log softmax(s)_label`` of every token whose label is not ``ignore_index``.

    Args:
        student: logits ``[B, C]`` of a classifier or ``[B, T, C]`` of a sequence model, finite.
            For a causal model shift first: logits ``[:, :-1]`` with labels ``[:, 1:]``.
        labels: integers ``[B]`` or ``[B, T]`` from 0 to ``C - 1``, or ``ignore_index``. What the
            logits of an ignored token hold, NaN included, has no influence.
        ignore_index: the label of tokens that do not count, as in PyTorch and Transformers.
        reduction: ``"mean"`` over the tokens that count in the whole batch (0 where none does),
            ``"sum"`` over them, or ``"none"``, 0 where a token does not count.

    Returns:
        A scalar, or ``[B]`` or ``[B, T]`` with ``reduction="none"``; float64.

    Raises:
        TypeError: logits that are not real floats, labels that are not integers.
        ValueError: wrong rank, shapes that differ, a single class, an unknown reduction; logits
            that are not finite where they count, a label out of range.

    Examples:
        >>> student = np.array([[1.0, 0.0, 1.0], [3.0, 0.0, 0.0]])
        >>> labels = np.array([0, -100])
        >>> round(float(task_loss(student=student, labels=labels)), 4)
        0.862
    """
    return task_loss_and_grad(
        student=student, labels=labels, ignore_index=ignore_index, reduction=reduction
    )[0]


def task_loss_and_grad(
    *,
    student: ArrayLike,
    labels: ArrayLike,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> tuple[FloatArray, FloatArray]:
    """The loss of ``task_loss``, and its gradient with respect to the student's logits.

    ``∂L/∂s = softmax(s) - onehot(label)`` of a token that counts, divided by their number with
    ``reduction="mean"``; with ``"none"``, of the sum.
    """
    check_choice("reduction", reduction, REDUCTIONS)
    integer("ignore_index", ignore_index)
    logits = _logits("student", student)
    targets = _labels(labels, logits.shape, ignore_index)
    counts = targets != ignore_index
    log_q = log_softmax(_softened(_counted("student", logits, counts), 1.0), axis=-1)
    one_hot = np.arange(logits.shape[-1]) == targets[..., np.newaxis]
    losses = -np.sum(np.where(one_hot, log_q, 0.0), axis=-1)
    return _reduced(losses, np.exp(log_q) - one_hot, counts, reduction)


def token_kl(teacher: FloatArray, student: FloatArray, temperature: float) -> FloatArray:
    """``τ² KL(softmax(t/τ) ‖ softmax(s/τ))`` of every token, ``[..., C]`` to ``[...]``."""
    log_p, log_q = (
        log_softmax(_softened(logits, temperature), axis=-1) for logits in (teacher, student)
    )
    divergence = np.sum(np.exp(log_p) * (log_p - log_q), axis=-1)
    return np.asarray(temperature * (temperature * divergence))  # τ² may be too large for a float


def token_kl_gradient(teacher: FloatArray, student: FloatArray, temperature: float) -> FloatArray:
    """``τ (softmax(s/τ) - softmax(t/τ))``, by the student's logits."""
    p, q = (softmax(_softened(logits, temperature), axis=-1) for logits in (teacher, student))
    return np.asarray(temperature * (q - p))


def _softened(logits: FloatArray, temperature: float) -> FloatArray:
    """``(s - max s)/τ``, with the softmax of ``s/τ``; bounded, so that no τ gives inf - inf."""
    with np.errstate(over="ignore"):
        shifted = (logits - np.max(logits, axis=-1, keepdims=True)) / temperature
    return np.asarray(np.maximum(shifted, np.finfo(np.float64).min / 2))


def _counted(argument: str, logits: FloatArray, counts: BoolArray) -> FloatArray:
    """Logits with 0 for tokens that do not count, checked where they do."""
    logits = np.where(counts[..., np.newaxis], logits, 0.0)
    finite = np.isfinite(logits)
    if not finite.all():
        raise bad_logits(argument, f"{logits[~finite][0]}")
    return logits


def _reduced(
    losses: FloatArray, gradient: FloatArray, counts: BoolArray, reduction: str
) -> tuple[FloatArray, FloatArray]:
    """Losses of tokens and their gradients, those that count summed or averaged."""
    losses = np.where(counts, losses, 0.0)
    gradient = np.where(counts[..., np.newaxis], gradient, 0.0)
    if reduction == "none":
        return losses, gradient
    number = max(int(counts.sum()), 1) if reduction == "mean" else 1
    return np.asarray(losses.sum() / number), gradient / number


def _token_mask(mask: ArrayLike | None, shape: tuple[int, ...]) -> BoolArray:
    if mask is None:
        return np.ones(shape[:-1], dtype=bool)
    counts = as_array("mask", mask)
    check_token_mask(counts.dtype, counts.dtype == bool, counts.shape, shape)
    return counts


def _labels(labels: ArrayLike, shape: tuple[int, ...], ignore_index: int) -> NDArray[Any]:
    targets = as_array("labels", labels)
    is_integer = np.issubdtype(targets.dtype, np.integer)
    check_labels(targets.dtype, is_integer, targets.shape, shape)
    outside = (targets != ignore_index) & ((targets < 0) | (targets >= shape[-1]))
    if outside.any():
        raise bad_labels(f"{targets[outside][0]}", shape[-1], ignore_index)
    return targets


def _logits(argument: str, values: ArrayLike) -> FloatArray:
    logits = floating(argument, values)
    check_logits(argument, logits.shape)
    return logits
