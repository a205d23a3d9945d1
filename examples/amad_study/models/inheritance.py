"""A student that begins as a part of its teacher: some of its heads, some of its layers."""

import re

import torch
from torch import Tensor, nn

from amad_core.training.layers import layer_pairs
from amad_study.models.vl_t5 import VLT5

_LAYER = re.compile(r"(encoder|decoder)\.block\.(\d+)\.")


@torch.no_grad()
def begin_as_part_of(student: nn.Module, teacher: nn.Module, layers: str) -> None:
    """Give a VL-T5 the weights of another's first heads, in the layers that it will learn from.

    All else, which is of equal size in both, is copied. Head i of the student is then head i of the
    teacher, cut off from the others.

    Args:
        student: is changed.
        teacher: as wide, with heads and feed-forward layers as wide, and no fewer heads or layers.
        layers: the layer map by its name.

    Raises:
        ValueError: another family, or sizes that differ in more than heads and layers.
    """
    if not (isinstance(student, VLT5) and isinstance(teacher, VLT5)):
        raise ValueError(
            f"student is a {type(student).__name__} and teacher a {type(teacher).__name__}, but "
            "only a VLT5 begins as a part of its teacher"
        )
    for name in ("d_model", "d_kv", "d_ff", "vocab_size"):
        one, other = getattr(student.t5.config, name), getattr(teacher.t5.config, name)
        if one != other:
            raise ValueError(
                f"student has {name} {one}, expected the teacher's {other}: only heads and layers "
                "may be fewer"
            )
    sources = {part: _sources(student, teacher, part, layers) for part in ("encoder", "decoder")}
    given = dict(teacher.named_parameters())

    def source(found: re.Match[str]) -> str:
        part, layer = found[1], int(found[2])
        return f"{part}.block.{sources[part][layer]}."

    for name, weights in student.named_parameters():
        # Every layer of a stack shares the bias of its first.
        shared = "relative_attention_bias" in name
        weights.copy_(_first(given[name if shared else _LAYER.sub(source, name)], weights))


def _sources(student: VLT5, teacher: VLT5, part: str, layers: str) -> dict[int, int]:
    """From which layer of the teacher each layer of the student comes."""
    pairs = layer_pairs(
        layers,
        teacher_layers=len(getattr(teacher.t5, part).block),
        student_layers=len(getattr(student.t5, part).block),
    )
    return {pair.student: pair.teacher for pair in pairs}


def _first(weights: Tensor, like: Tensor) -> Tensor:
    """The first heads, which are the first rows or columns."""
    return weights[tuple(slice(length) for length in like.shape)]
