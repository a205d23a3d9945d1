"""A frozen teacher asked once: what it gives for all training examples, held in memory."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from amad_study.models.batches import Batch, count, rows
from amad_torch.cache.teacher_output import StoredTeacher, TeacherOutput, run_teacher
from amad_torch.capture.captured import CapturedAttention
from amad_torch.capture.layer_attention import LayerAttention

ROW = "row"
"""The entry of a batch that says which training examples it has."""

_AT_ONCE = 250


class RememberedTeacher(StoredTeacher):
    """A teacher's maps and logits for each training example.

    Args:
        teacher: is run in eval mode.
        data: all training examples as tensors.
        layers: paths of the attention that is compared.
    """

    def __init__(self, teacher: nn.Module, data: Batch, layers: Sequence[str]) -> None:
        self.named_by, self.index = (ROW,), ROW
        self._kinds: dict[str, str] = {}
        parts: dict[str, list[Tensor]] = {path: [] for path in layers}
        logits: list[Tensor] = []
        for first in range(0, count(data), _AT_ONCE):
            batch = rows(data, slice(first, first + _AT_ONCE))
            found = run_teacher(teacher, batch, modules=layers)
            assert found.attention is not None
            assert found.logits is not None
            logits.append(found.logits)
            for path in layers:
                self._kinds[path] = found.attention[path].kind
                parts[path].append(found.attention[path].maps)
        self._maps = {path: torch.cat(maps) for path, maps in parts.items()}
        self._logits = torch.cat(logits)

    def read(
        self, batch: Mapping[str, Any], *, attention: bool = True, logits: bool = True
    ) -> TeacherOutput:
        """What the teacher gave for the examples of a batch."""
        chosen = batch[ROW]
        captured = {
            path: LayerAttention(
                path, kind, None, requires_grad=False, maps=self._maps[path][chosen]
            )
            for path, kind in self._kinds.items()
            if attention
        }
        return TeacherOutput(
            CapturedAttention(captured) if attention else None,
            self._logits[chosen] if logits else None,
        )


_last: tuple[Batch, list[str], list[Tensor], RememberedTeacher] | None = None


def remembered(teacher: nn.Module, data: Batch, layers: Sequence[str]) -> RememberedTeacher:
    """`RememberedTeacher`, that of the last call where it would be the same.

    Students of one seed, of which the plan has several in a row, have the same teacher with its
    heads in the same order.
    """
    global _last
    weights = [weight.clone() for weight in teacher.state_dict().values()]
    if _last is not None:
        same = _last[0] is data and _last[1] == list(layers) and len(_last[2]) == len(weights)
        if same and all(map(torch.equal, _last[2], weights)):
            return _last[3]
    _last = None  # not two at once
    _last = data, list(layers), weights, RememberedTeacher(teacher, data, layers)
    return _last[3]


def with_rows(data: Batch) -> Batch:
    """The examples, each with its number."""
    return {**data, ROW: torch.arange(count(data))}
