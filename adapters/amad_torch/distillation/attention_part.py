"""The attention part of the loss: every matched pair of layers, over the cells that count."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from amad_torch.capture.captured import CapturedAttention
from amad_torch.distillation.attention import matched_alignment, matched_loss
from amad_torch.distillation.cells import counted_cells
from amad_torch.distillation.match import MatchedLayers, matched_layers
from amad_torch.distillation.measurements import AnyDistiller
from amad_torch.distillation.shares import Part


def attention_part(
    distiller: AnyDistiller,
    teacher: CapturedAttention,
    student: CapturedAttention,
    batch: Mapping[str, Any],
    samples: int,
) -> Part | None:
    """``Σ weight L_attention`` over the pairs; ``None`` where every weight is 0."""
    has_decoder = any(
        layer.kind == "cross" and "decoder" in layer.path for layer in student.values()
    )
    losses = [
        matched.match.weight * _loss_of(distiller, matched, batch, has_decoder)
        for matched in matched_layers(distiller.matches, teacher, student)
        if matched.match.weight
    ]
    if not losses:
        return None
    return Part(torch.stack([loss.to(losses[0].device) for loss in losses]).sum(), samples)


def _loss_of(
    distiller: AnyDistiller, matched: MatchedLayers, batch: Mapping[str, Any], has_decoder: bool
) -> Tensor:
    method = matched.match.method or distiller.method
    options = {**distiller.options, **matched.match.options}
    if method.startswith("amad_"):
        options = {"temperature": distiller.temperature, **options}
    mask = counted_cells(matched.student, matched.match, batch, has_decoder)
    if mask is not None:
        mask = mask.to(matched.student.device)
    if method.startswith("amad_") and method != "amad_token":
        alignment = partial(
            matched_alignment, matched, options["temperature"], mask, distiller.lengths
        )
        for watch in distiller.watchers:
            watch(matched, alignment)
    try:
        return matched_loss(matched, method, mask, distiller.lengths, options)
    except (TypeError, ValueError) as error:
        if matched.name in str(error):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{matched.name}: {error}") from error
