"""Output losses: the teacher's softened outputs, and the task's own labels."""

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

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
from amad_torch.attention.inputs import accumulation_dtype, as_tensor, floating
from amad_torch.attention.value_checks import check_finite, reads_values


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
        >>> teacher, student = torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([[1.0, 0.0, 1.0]])
        >>> round(float(output_loss(teacher=teacher, student=student, temperature=2.0)), 4)
        0.124
    """
    check_choice("reduction", reduction, REDUCTIONS)
    check_temperature(temperature)
    teacher, student = _logits("teacher", teacher), _logits("student", student)
    check_same_logits(teacher.shape, student.shape)
    dtype = accumulation_dtype(teacher, student)
    counts = _token_mask(mask, student)
    teacher, student = (
        _counted(argument, logits, counts, dtype, check_values)
        for argument, logits in (("teacher", teacher.detach()), ("student", student))
    )
    return _reduced(token_kl(teacher, student, float(temperature)), counts, reduction)


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
        >>> student = torch.tensor([[1.0, 0.0, 1.0], [3.0, 0.0, 0.0]])
        >>> labels = torch.tensor([0, -100])
        >>> round(float(task_loss(student=student, labels=labels)), 4)
        0.862
    """
    check_choice("reduction", reduction, REDUCTIONS)
    integer("ignore_index", ignore_index)
    student = _logits("student", student)
    targets = _labels(labels, student, ignore_index, check_values)
    counts = targets != ignore_index
    dtype = accumulation_dtype(student)
    student = _counted("student", student, counts, dtype, check_values)
    losses = functional.cross_entropy(
        student.flatten(0, -2), targets.flatten(), ignore_index=ignore_index, reduction="none"
    )
    return _reduced(losses.view(counts.shape), counts, reduction)


def token_kl(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """``τ² KL(softmax(t/τ) ‖ softmax(s/τ))`` of every token, ``[..., C]`` to ``[...]``."""
    log_p, log_q = (
        _softened(logits, temperature).log_softmax(dim=-1) for logits in (teacher, student)
    )
    divergence = (log_p.exp() * (log_p - log_q)).sum(dim=-1)
    return temperature * (temperature * divergence)  # τ² may be too large for a float


def _softened(logits: Tensor, temperature: float) -> Tensor:
    """``(s - max s)/τ``, with the softmax of ``s/τ``; bounded, so that no τ gives inf - inf."""
    finite = torch.finfo(logits.dtype)
    shifted = logits - logits.detach().amax(dim=-1, keepdim=True)
    return (shifted / max(temperature, finite.tiny)).clamp(min=finite.min / 2)


def _counted(
    argument: str, logits: Tensor, counts: Tensor, dtype: torch.dtype, check_values: bool | None
) -> Tensor:
    """Logits in the accumulation dtype, 0 for tokens that do not count, checked where they do."""
    logits = logits.to(dtype).where(counts.unsqueeze(-1), 0.0)
    check_finite(logits, partial(bad_logits, argument), check_values)
    return logits


def _reduced(losses: Tensor, counts: Tensor, reduction: str) -> Tensor:
    """Losses of tokens, those that count summed or averaged."""
    losses = losses.where(counts, 0.0)
    if reduction == "none":
        return losses
    total = losses.sum()
    return total if reduction == "sum" else total / counts.sum().clamp(min=1)


def _logits(argument: str, values: Tensor) -> Tensor:
    logits = floating(argument, values)
    check_logits(argument, logits.shape)
    return logits


def _token_mask(mask: Tensor | None, logits: Tensor) -> Tensor:
    if mask is None:
        return torch.ones(logits.shape[:-1], dtype=torch.bool, device=logits.device)
    counts = as_tensor("mask", mask)
    check_token_mask(counts.dtype, counts.dtype == torch.bool, counts.shape, logits.shape)
    return counts.to(logits.device)


def _labels(labels: Tensor, logits: Tensor, ignore_index: int, check_values: bool | None) -> Tensor:
    targets, classes = as_tensor("labels", labels), logits.shape[-1]
    inexact = targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool
    check_labels(targets.dtype, not inexact, targets.shape, logits.shape)
    targets = targets.to(logits.device, torch.long)
    if reads_values(targets, check_values):
        outside = (targets != ignore_index) & ((targets < 0) | (targets >= classes))
        if outside.any():
            found = f"{targets[outside][0].item()}"
            raise bad_labels(found, classes, ignore_index)
    return targets
