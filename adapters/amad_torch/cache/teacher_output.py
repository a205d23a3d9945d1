"""What a teacher gives for a batch, from the model itself; a cache gives the same."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from amad_torch.capture.captured import CapturedAttention
from amad_torch.capture.capturing import capture_attention
from amad_torch.models import logits_of, taken


class TeacherOutput(NamedTuple):
    """What a student can learn from; ``None``: not asked for, or not given by the teacher.

    ``stored`` is ``[B, L]``, true where a cache knows the logits of a token; ``None``: everywhere.
    """

    attention: CapturedAttention | None
    logits: Tensor | None
    stored: Tensor | None = None


class StoredTeacher(ABC):
    """What stands in a teacher's place: ``Distiller`` reads from it what a teacher gives.

    Attributes:
        named_by: entries of a batch by which a sample is found.
        index: the one of them that is no input of a model, if there is one.
    """

    named_by: tuple[str, ...]
    index: str | None

    @abstractmethod
    def read(
        self, batch: Mapping[str, Any], *, attention: bool = True, logits: bool = True
    ) -> TeacherOutput:
        """What the teacher gave for the samples of a batch, of what is wanted."""


@torch.no_grad()
def run_teacher(
    teacher: nn.Module,
    batch: Mapping[str, Any],
    *,
    attention: bool = True,
    modules: Sequence[str] | None = None,
    left_out: Collection[str] = (),
) -> TeacherOutput:
    """Run the model in eval mode, without autograd.

    Args:
        attention: whether it is captured.
        modules: as in ``capture_attention``.
        left_out: entries of the batch that are not the model's, though it would take any.
    """
    teacher.eval()
    with ExitStack() as stack:
        captured = None
        if attention:
            captured = stack.enter_context(capture_attention(teacher, modules=modules))
        output = teacher(**taken(teacher, batch, left_out))
    return TeacherOutput(captured, logits_of(output))
