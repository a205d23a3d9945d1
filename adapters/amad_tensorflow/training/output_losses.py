"""Output losses: the teacher's softened outputs, and the task's own labels."""

from functools import partial
from typing import Any

import tensorflow as tf

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
from amad_tensorflow.attention.inputs import (
    Tensor,
    accumulation_dtype,
    as_tensor,
    floating,
    known_shape,
    tiny,
)
from amad_tensorflow.attention.tracing import as_written
from amad_tensorflow.attention.value_checks import check_finite, reads_values, require


@as_written
def output_loss(
    *,
    teacher: Tensor,
    student: Tensor,
    temperature: float = 1.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
    check_values: bool | None = None,
) -> Tensor:
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
        check_values: look for NaN and infinite logits: always (``True``), never (``False``), or
            where it costs no device synchronisation (``None``).

    Returns:
        A scalar, or ``[B]`` or ``[B, T]`` with ``reduction="none"``; float64 where logits are
        float64, else float32. All sums are in that dtype.

    Raises:
        TypeError: logits that are not real floats, a mask that is not boolean.
        ValueError: wrong rank, shapes that differ, a single class, an unknown reduction, a
            temperature of 0 or below; as far as values are checked, logits that are not finite
            where they count.

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, section 2.

    Examples:
        >>> teacher, student = tf.constant([[2.0, 0.0, 1.0]]), tf.constant([[1.0, 0.0, 1.0]])
        >>> round(float(output_loss(teacher=teacher, student=student, temperature=2.0)), 4)
        0.124
    """
    check_choice("reduction", reduction, REDUCTIONS)
    check_temperature(temperature)
    teacher, student = _logits("teacher", teacher), _logits("student", student)
    check_same_logits(known_shape(teacher), known_shape(student))
    dtype = accumulation_dtype(teacher, student)
    counts = _token_mask(mask, student)
    teacher = _counted("teacher", tf.stop_gradient(teacher), counts, dtype, check_values)
    student = _counted("student", student, counts, dtype, check_values)
    return _reduced(token_kl(teacher, student, float(temperature)), counts, reduction)


@as_written
def task_loss(
    *,
    student: Tensor,
    labels: Tensor,
    ignore_index: int = -100,
    reduction: str = "mean",
    check_values: bool | None = None,
) -> Tensor:
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
        check_values: look for labels out of range and logits that are not finite: always
            (``True``), never (``False``), or where it costs no device synchronisation (``None``).

    Returns:
        A scalar, or ``[B]`` or ``[B, T]`` with ``reduction="none"``; float64 where logits are
        float64, else float32. All sums are in that dtype.

    Raises:
        TypeError: logits that are not real floats, labels that are not integers.
        ValueError: wrong rank, shapes that differ, a single class, an unknown reduction; as far as
            values are checked, logits that are not finite where they count, a label out of range.

    Examples:
        >>> student = tf.constant([[1.0, 0.0, 1.0], [3.0, 0.0, 0.0]])
        >>> labels = tf.constant([0, -100])
        >>> round(float(task_loss(student=student, labels=labels)), 4)
        0.862
    """
    check_choice("reduction", reduction, REDUCTIONS)
    integer("ignore_index", ignore_index)
    student = _logits("student", student)
    targets = _labels(labels, student, ignore_index, check_values)
    counts = targets != ignore_index
    student = _counted("student", student, counts, accumulation_dtype(student), check_values)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.where(counts, targets, tf.zeros_like(targets)), logits=student
    )
    return _reduced(losses, counts, reduction)


def token_kl(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """``τ² KL(softmax(t/τ) ‖ softmax(s/τ))`` of every token, ``[..., C]`` to ``[...]``."""
    log_p, log_q = (
        tf.nn.log_softmax(_softened(logits, temperature), axis=-1) for logits in (teacher, student)
    )
    divergence = tf.reduce_sum(tf.exp(log_p) * (log_p - log_q), axis=-1)
    return temperature * (temperature * divergence)  # τ² may be too large for a float


def _softened(logits: Tensor, temperature: float) -> Tensor:
    """``(s - max s)/τ``, with the softmax of ``s/τ``; bounded, so that no τ gives inf - inf."""
    shifted = logits - tf.stop_gradient(tf.reduce_max(logits, axis=-1, keepdims=True))
    return tf.maximum(shifted / max(temperature, tiny(logits.dtype)), logits.dtype.min / 2)


def _counted(
    argument: str, logits: Tensor, counts: Tensor, dtype: Any, check_values: bool | None
) -> Tensor:
    """Logits in the accumulation dtype, 0 for tokens that do not count, checked where they do."""
    logits = tf.cast(logits, dtype)
    logits = tf.where(counts[..., tf.newaxis], logits, tf.zeros_like(logits))
    check_finite(logits, partial(bad_logits, argument), check_values)
    return logits


def _reduced(losses: Tensor, counts: Tensor, reduction: str) -> Tensor:
    """Losses of tokens, those that count summed or averaged."""
    losses = tf.where(counts, losses, tf.zeros_like(losses))
    if reduction == "none":
        return losses
    total = tf.reduce_sum(losses)
    if reduction == "sum":
        return total
    return total / tf.maximum(tf.reduce_sum(tf.cast(counts, total.dtype)), 1)


def _logits(argument: str, values: Tensor) -> Tensor:
    logits = floating(argument, values)
    check_logits(argument, known_shape(logits))
    return logits


def _token_mask(mask: Tensor | None, logits: Tensor) -> Tensor:
    if mask is None:
        return tf.ones_like(logits[..., 0], dtype=tf.bool)
    counts = as_tensor("mask", mask)
    check_token_mask(
        counts.dtype.name, counts.dtype == tf.bool, known_shape(counts), known_shape(logits)
    )
    return counts


def _labels(labels: Tensor, logits: Tensor, ignore_index: int, check_values: bool | None) -> Tensor:
    targets = as_tensor("labels", labels)
    check_labels(
        targets.dtype.name, targets.dtype.is_integer, known_shape(targets), known_shape(logits)
    )
    targets = tf.cast(targets, tf.int64)
    if reads_values(targets, check_values):
        classes = tf.shape(logits, out_type=tf.int64)[-1]
        outside = (targets != ignore_index) & ((targets < 0) | (targets >= classes))
        require(
            ~tf.reduce_any(outside),
            lambda found: bad_labels(found, known_shape(logits)[-1], ignore_index),
            lambda: str(tf.boolean_mask(targets, outside)[0].numpy()),
        )
        # A graph runs the check beside the cross-entropy, which has an error of its own for these.
        targets = tf.where(outside, tf.zeros_like(targets), targets)
    return targets
