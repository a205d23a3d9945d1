"""The attention losses of the demo: which maps are compared, where, and how."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from amad_demo.model import ModelOutput
from amad_torch import alignment_weights, amad_loss

VARIANT = "mse"
TEMPERATURE = 0.1
"""The softmax temperature of the alignment weights (1 in the paper); docs/demo.md tells why."""

AttentionLoss = Callable[[ModelOutput, ModelOutput, Tensor], Tensor]
"""Takes the teacher's output, the student's output and the padding mask; returns a scalar."""


class LayerPair(NamedTuple):
    """A teacher layer and the student layer that learns from it, in "encoder" or "cross"."""

    part: str
    teacher: int
    student: int

    def __str__(self) -> str:
        name = {"encoder": "encoder self-attention", "cross": "cross-attention"}[self.part]
        return f"{name}, teacher layer {self.teacher + 1} to student layer {self.student + 1}"


LAYER_MAP = (LayerPair("encoder", 0, 0), LayerPair("encoder", 2, 1), LayerPair("cross", 0, 0))


class PairedMaps(NamedTuple):
    """The maps of one layer pair, `[B, heads, Q, K]`, and which cells count, `[B, Q, K]`."""

    teacher: Tensor
    student: Tensor
    mask: Tensor


def paired_maps(
    teacher: ModelOutput, student: ModelOutput, mask: Tensor
) -> Iterator[tuple[LayerPair, PairedMaps]]:
    """Yield the maps to compare, one item for each pair of `LAYER_MAP`.

    Args:
        teacher: what the teacher returned for a batch.
        student: what the student returned for the same batch.
        mask: true where the encoder's input is no padding, `[B, K]`.
    """
    for pair in LAYER_MAP:
        if pair.part == "encoder":
            # A query counts if it is no padding, and so does a key.
            cells = mask[:, :, None] & mask[:, None, :]
            maps = teacher.encoder_maps[pair.teacher], student.encoder_maps[pair.student]
        else:
            cells = mask[:, None, :]
            maps = teacher.cross_maps[pair.teacher], student.cross_maps[pair.student]
        yield pair, PairedMaps(*maps, cells)


def amad_attention_loss(teacher: ModelOutput, student: ModelOutput, mask: Tensor) -> Tensor:
    """AMAD: every teacher head is taught to the student heads most like it; sum over layers."""
    losses = [
        amad_loss(
            teacher=maps.teacher,
            student=maps.student,
            variant=VARIANT,
            temperature=TEMPERATURE,
            mask=maps.mask,
        )
        for _, maps in paired_maps(teacher, student, mask)
    ]
    return torch.stack(losses).sum()


def one_to_one_attention_loss(teacher: ModelOutput, student: ModelOutput, mask: Tensor) -> Tensor:
    """Teacher head i is taught to student head i, further heads are dropped; sum over layers."""
    losses = [_head_by_head(maps) for _, maps in paired_maps(teacher, student, mask)]
    return torch.stack(losses).sum()


def _head_by_head(maps: PairedMaps) -> Tensor:
    heads = min(maps.teacher.shape[1], maps.student.shape[1])
    # With one head on each side every alignment weight is 1 and AMAD is the plain one-to-one
    # loss: the heads become samples of their own, so both methods share one divergence.
    per_head = amad_loss(
        teacher=maps.teacher[:, :heads].flatten(0, 1).unsqueeze(1),
        student=maps.student[:, :heads].flatten(0, 1).unsqueeze(1),
        variant=VARIANT,
        mask=maps.mask.repeat_interleave(heads, dim=0),
    )
    return heads * per_head


def head_weights(
    teacher: ModelOutput, student: ModelOutput, mask: Tensor
) -> dict[LayerPair, Tensor]:
    """Return how much of each teacher head goes to each student head, `[Ht, Hs]`, batch mean."""
    return {
        pair: alignment_weights(
            teacher=maps.teacher, student=maps.student, temperature=TEMPERATURE, mask=maps.mask
        ).mean(dim=0)
        for pair, maps in paired_maps(teacher, student, mask)
    }
