"""What is measured of a distiller besides scores: gradients, alignment, how alike heads are."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from amad_study.models.batches import Batch
from amad_torch import Distiller
from amad_torch.attention.alignment import alignment_weights
from amad_torch.attention.similarity import cosine_similarity, scaled_to_peak
from amad_torch.distillation.cells import counted_cells
from amad_torch.padding import has_decoder


def gradient_parity(distiller: Distiller, batch: Batch) -> float:
    """The weight at which attention's gradient is as long as the task's, on one batch.

    Raises:
        ValueError: attention is not taught, or has no gradient.
    """
    out = distiller(**batch)
    if "attention" not in out:
        raise ValueError("distiller teaches no attention: there is nothing to compare")
    student = [one for one in distiller.student.parameters() if one.requires_grad]
    task, attention = (_norm(out[part], student) for part in ("task", "attention"))
    if not 0 < attention < math.inf:
        raise ValueError(f"attention has a gradient of length {attention}: no weight equals it")
    return task / attention


def _norm(loss: Tensor, weights: Sequence[Tensor]) -> float:
    found = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
    return math.sqrt(sum(float(one.square().sum()) for one in found if one is not None))


def look_at_heads(distiller: Distiller, batch: Batch) -> dict[str, dict[str, float]]:
    """For each pair of layers, how even the alignment is, and how alike heads are.

    `evenness`: entropy of AMAD's weights at the distiller's temperature over its greatest, 1 where
    all student heads are mixed equally; 1 for a single head. `teacher` and `student`: mean cosine
    between different heads of a layer; 1 for a single head.
    """
    pairs = distiller.matched(batch)
    behind_encoder = has_decoder([pair.student for pair in pairs])
    found = {}
    for pair in pairs:
        mask = counted_cells(pair.student, pair.match, batch, behind_encoder)
        teacher, student = pair.teacher[0].maps, pair.student.maps
        weights = alignment_weights(
            teacher=teacher, student=student, temperature=distiller.temperature, mask=mask
        )
        entropy = -(weights * weights.clamp(min=1e-30).log()).sum(-1).mean()
        heads = weights.shape[-1]
        found[pair.name] = {
            "evenness": float(entropy) / math.log(heads) if heads > 1 else 1.0,
            "teacher": _likeness(teacher, mask),
            "student": _likeness(student, mask),
        }
    return found


def _likeness(maps: Tensor, mask: Tensor | None) -> float:
    counted = maps if mask is None else maps * mask[:, None]
    heads = scaled_to_peak(counted.flatten(2))
    number = heads.shape[1]
    if number == 1:
        return 1.0
    cosines = cosine_similarity(heads, heads)
    off = ~torch.eye(number, dtype=torch.bool)
    return float(cosines[:, off].mean())
