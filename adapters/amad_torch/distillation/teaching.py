"""The teacher, be it a model or its cache: what it gives for a batch."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from torch import Tensor, nn

from amad_torch.cache.teacher_output import StoredTeacher, TeacherOutput, run_teacher
from amad_torch.cache.unpacking import StoredLayer
from amad_torch.capture.captured import CapturedAttention
from amad_torch.capture.layer_attention import LayerAttention
from amad_torch.models import check_apart
from amad_torch.padding import padding_entries

Teacher: TypeAlias = nn.Module | StoredTeacher


def frozen(teacher: Any, student: nn.Module) -> Teacher:
    """The teacher, which does not learn.

    Raises:
        TypeError: it is no model and no cache.
        ValueError: it shares parameters with the student.
    """
    if isinstance(teacher, StoredTeacher):
        return teacher
    if not isinstance(teacher, nn.Module):
        raise TypeError(f"teacher must be a torch.nn.Module or a TeacherCache; got {teacher!r}")
    check_apart(teacher, student)
    return teacher.eval().requires_grad_(False)


def names_of_samples(teacher: Teacher) -> Sequence[str]:
    """Entries of a batch by which a cache knows samples."""
    return teacher.named_by if isinstance(teacher, StoredTeacher) else ()


def no_input(teacher: Teacher) -> Sequence[str]:
    """Entries of a batch that are of the cache alone, and not a model's that would take any."""
    index = teacher.index if isinstance(teacher, StoredTeacher) else None
    return () if index is None else (index,)


def taught(
    teacher: Teacher, batch: Mapping[str, Any], *, attention: bool = True, logits: bool = True
) -> TeacherOutput:
    """What the teacher gives, without autograd; it is not run for nothing."""
    if not attention and not logits:
        return TeacherOutput(None, None)
    if isinstance(teacher, StoredTeacher):
        return teacher.read(batch, attention=attention, logits=logits)
    return run_teacher(teacher, batch, attention=attention)


def attention_of(teacher: Teacher, batch: Mapping[str, Any]) -> CapturedAttention:
    """What the teacher attends to."""
    found = taught(teacher, batch, logits=False).attention
    assert found is not None
    return found


def check_stored_cells(
    teacher: Sequence[LayerAttention],
    student: LayerAttention,
    batch: Mapping[str, Any],
    behind_encoder: bool,
) -> None:
    """An error where padding counts that a cache left out.

    Raises:
        ValueError: an axis of the student follows another mask than the teacher's did.
    """
    for layer in teacher:
        if not isinstance(layer, StoredLayer):
            continue
        counted = padding_entries(student, batch, behind_encoder)
        for axis, left_out, entry in zip(("queries", "keys"), layer.padding, counted, strict=True):
            if left_out is not None and left_out != entry:
                raise ValueError(
                    f"the cache has {layer.path!r} without {axis} that {left_out!r} leaves out, "
                    f"but those of {student.path!r} "
                    + (f"follow {entry!r}" if entry else "all count here")
                    + ": build the cache with keep_padding=True"
                )


def check_stored_logits(stored: Tensor | None, counted: Tensor | None) -> None:
    """An error where logits count that a cache left out.

    Raises:
        ValueError: labels, or a mask, that count padding.
    """
    if stored is not None and (counted is None or bool((counted & ~stored).any())):
        raise ValueError(
            "tokens count whose logits the cache left out as padding: labels must be -100 there, "
            "and attention_mask be in the batch; or build the cache with keep_padding=True"
        )
