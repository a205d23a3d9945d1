"""The attention part of the loss: every matched pair of layers, over the cells that count."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from amad_torch.capture.captured import CapturedAttention
from amad_torch.distillation.attention import matched_alignment, matched_loss
from amad_torch.distillation.cells import counted_cells
from amad_torch.distillation.learned import (
    check_gradients_are_shared,
    keys_of_pairs,
    learned_of,
    method_of,
)
from amad_torch.distillation.match import MatchedLayers, matched_layers
from amad_torch.distillation.measurements import AnyDistiller
from amad_torch.distillation.methods import has_alignment, is_amad
from amad_torch.distillation.shares import Part
from amad_torch.distillation.teaching import check_stored_cells
from amad_torch.padding import has_decoder


def attention_part(
    distiller: AnyDistiller,
    teacher: CapturedAttention,
    student: CapturedAttention,
    batch: Mapping[str, Any],
    samples: int,
) -> Part | None:
    """``Σ weight L_attention`` over the pairs; ``None`` where every weight is 0."""
    behind_encoder = has_decoder(student.values())
    check_gradients_are_shared(distiller)
    pairs = matched_layers(distiller.matches, teacher, student)
    losses = [
        pair.match.weight * _loss_of(distiller, pair, key, batch, behind_encoder)
        for pair, key in zip(pairs, keys_of_pairs(pairs), strict=True)
        if pair.match.weight
    ]
    if not losses:
        return None
    return Part(torch.stack([loss.to(losses[0].device) for loss in losses]).sum(), samples)


def _loss_of(
    distiller: AnyDistiller,
    matched: MatchedLayers,
    key: str,
    batch: Mapping[str, Any],
    behind_encoder: bool,
) -> Tensor:
    method = method_of(distiller, matched)
    learned = learned_of(distiller, matched, key)
    options = {**distiller.options, **matched.match.options}
    if is_amad(method):
        options = {"temperature": distiller.temperature, **options}
    if learned is not None:
        options |= {"weight": learned.weight, "bias": learned.bias}
    check_stored_cells(matched.teacher, matched.student, batch, behind_encoder)
    mask = counted_cells(matched.student, matched.match, batch, behind_encoder)
    if mask is not None:
        mask = mask.to(matched.student.device)
    if has_alignment(method):
        alignment = partial(
            matched_alignment, matched, options["temperature"], mask, distiller.lengths, learned
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
