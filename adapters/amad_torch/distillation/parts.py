"""The parts of the loss beside attention: the softened outputs, and the student's own task."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from amad_torch.cache.teacher_output import TeacherOutput
from amad_torch.distillation.shares import Part
from amad_torch.distillation.teaching import check_stored_logits
from amad_torch.training.output_losses import output_loss


def output_part(
    teacher: TeacherOutput,
    student: Tensor | None,
    labels: Tensor | None,
    batch: Mapping[str, Any],
    temperature: float,
) -> Part | None:
    """The output loss of two logits, over the positions whose label counts, else over true tokens.

    ``labels`` is true where one counts. ``None``: there are no logits, or of one class only.
    """
    target = teacher.logits
    if target is None or student is None or student.shape[-1] < 2:
        return None
    tokens = student.shape[:-1]
    padding = batch.get("attention_mask")
    of_labels = labels is not None and labels.shape == tokens
    mask = labels if of_labels and student.dim() == 3 else None
    if not of_labels and isinstance(padding, Tensor) and padding.shape == tokens:
        mask = padding.bool()
    check_stored_logits(teacher.stored, mask)
    loss = output_loss(teacher=target, student=student, temperature=temperature, mask=mask)
    return Part(loss, tokens.numel() if mask is None else mask.sum(), of_labels)


def task_part(loss: Tensor | None, labels: Tensor | None, samples: int) -> Part | None:
    """The student's own loss; 0 where ``labels`` are given and none counts."""
    if loss is None:
        return None
    if labels is None:
        return Part(loss, samples)
    return Part(loss.where(labels.any().to(loss.device), 0.0), labels.sum(), of_labels=True)


def samples_in(batch: Mapping[str, Any]) -> int:
    """How many samples a batch has."""
    return next((len(one) for one in batch.values() if isinstance(one, Tensor) and one.dim()), 1)
