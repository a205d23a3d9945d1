"""The attention loss of matched layers, by any method of the library."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from amad_core.arguments.words import check_choice
from amad_torch.attention.alignment import alignment_weights
from amad_torch.capture.layer_attention import LayerAttention, both_masks
from amad_torch.distillation.lengths import Lengths
from amad_torch.distillation.match import MatchedLayers
from amad_torch.distillation.methods import Method, own_loss
from amad_torch.distillation.streamed import is_streamed, streamed_alignment, streamed_loss
from amad_torch.peers import METHODS, distillation_loss
from amad_torch.streaming.queries_keys import attention_scores

RELATED = ("queries", "keys", "values")
"""What relations are compared of, by the methods that compare them."""


def matched_loss(
    matched: MatchedLayers,
    method: Method,
    mask: Tensor | None,
    lengths: Lengths,
    options: Mapping[str, Any],
) -> Tensor:
    """The loss of one student layer against its teacher layers, a scalar: mean over samples."""
    if not isinstance(method, str):
        teacher, student = _fitted(matched, lengths)
        return own_loss(method, teacher, student, lengths.cut(mask), **options)
    return _LOSSES[METHODS[method].inputs](matched, method, mask, lengths, options)


def _maps_loss(
    matched: MatchedLayers,
    method: str,
    mask: Tensor | None,
    lengths: Lengths,
    options: Mapping[str, Any],
) -> Tensor:
    if is_streamed(matched, method, lengths, options):
        return streamed_loss(matched, method, mask, options)
    teacher, student = _fitted(matched, lengths)
    if method == "squeezing_heads":
        values = _head_outputs(matched, teacher, lengths).to(student.device)
        options = {"teacher_values": values, **options}
    return distillation_loss(
        name=method, teacher=teacher, student=student, mask=lengths.cut(mask), **options
    )


def _fitted(matched: MatchedLayers, lengths: Lengths) -> tuple[Tensor, Tensor]:
    teacher = _average([layer.maps.detach() for layer in matched.teacher], matched.name)
    return lengths.fitted(teacher, matched.student.maps, matched.name)


def _head_outputs(matched: MatchedLayers, fitted: Tensor, lengths: Lengths) -> Tensor:
    """What each teacher head adds to the output for each key that ``fitted`` maps have."""
    if len(matched.teacher) > 1:
        raise ValueError("squeezing_heads merges the heads of one teacher layer; give one")
    outputs = matched.teacher[0].head_outputs.detach()
    kept = outputs[:, :, lengths.crop[0] if lengths.crop else 0 :]
    if kept.shape[2] != fitted.shape[3]:
        raise ValueError("squeezing_heads has no values for patches of another grid: not resize")
    return kept


def matched_alignment(
    matched: MatchedLayers,
    temperature: float,
    mask: Tensor | None,
    lengths: Lengths,
    learned: nn.Module | None,
) -> Tensor:
    """The alignment weights ``[B, Ht, Hs]`` of one student layer (eq. 2), without gradients."""
    if learned is None and is_streamed(matched, "amad_mse", lengths, {}):
        return streamed_alignment(matched, temperature, mask)
    teacher, student = (maps.detach() for maps in _fitted(matched, lengths))
    mask = lengths.cut(mask)
    if learned is not None:
        student = learned(student, mask).detach()
    return alignment_weights(teacher=teacher, student=student, temperature=temperature, mask=mask)


def _scores_loss(
    matched: MatchedLayers,
    method: str,
    mask: Tensor | None,
    lengths: Lengths,
    options: Mapping[str, Any],
) -> Tensor:
    """Scores before the softmax; keys that either model does not see do not count."""
    seen, firsts = lengths.cut(mask), lengths.crop or (0, 0)
    teachers = [_scores(layer, firsts[0]).detach() for layer in matched.teacher]
    teacher, student = _average(teachers, matched.name), _scores(matched.student, firsts[1])
    if teacher.shape[-2:] != student.shape[-2:]:
        raise ValueError(
            f"{matched.name}: {method!r} compares scores of one length, after crop; got "
            f"{list(teacher.shape[-2:])} (queries, keys) and {list(student.shape[-2:])}"
        )
    for layer in matched.teacher:
        seen = both_masks(seen, _visible(layer, firsts[0]))
    seen = both_masks(seen, _visible(matched.student, firsts[1]))
    return distillation_loss(name=method, teacher=teacher, student=student, mask=seen, **options)


def _scores(layer: LayerAttention, first: int) -> Tensor:
    return attention_scores(layer.attended)[..., first:, first:]


def _visible(layer: LayerAttention, first: int) -> Tensor | None:
    """``[B, Q, K]``: keys that every head sees."""
    if layer.mask is None:
        return None
    return layer.mask.expand(layer.shape).all(dim=1)[:, first:, first:]


def _vectors_loss(
    matched: MatchedLayers,
    method: str,
    mask: Tensor | None,
    lengths: Lengths,
    options: Mapping[str, Any],
) -> Tensor:
    """Relations among queries, keys and values, added up; the last of several teacher layers."""
    related, mask = dict(options), lengths.cut(mask)
    chosen = ("values",) if method == _OF_VALUES else related.pop("vectors", RELATED)
    if isinstance(chosen, str) or not chosen:
        raise ValueError(f"vectors must be a tuple of some of {RELATED}; got {chosen!r}")
    losses = []
    for name in chosen:
        check_choice("vectors", name, RELATED)
        teacher, student = (
            getattr(layer, name)[:, :, first:]
            for layer, first in zip(
                (matched.teacher[-1], matched.student), lengths.crop or (0, 0), strict=True
            )
        )
        losses.append(
            distillation_loss(
                name=method,
                teacher=teacher.detach(),
                student=student,
                mask=_among_tokens(mask, 2 if name == "queries" else 1),
                **related,
            )
        )
    return torch.stack(losses).sum()


_OF_VALUES = "minilm_value_relation"


def _among_tokens(mask: Tensor | None, other: int) -> Tensor | None:
    """The relations ``[B, L, L]`` among tokens of one axis of the cells, of which any counts."""
    if mask is None:
        return None
    counts = mask.any(dim=other)
    return counts[:, :, None] & counts[:, None, :]


_Loss = Callable[[MatchedLayers, str, Tensor | None, Lengths, Mapping[str, Any]], Tensor]
_LOSSES: Mapping[str, _Loss] = {
    "maps": _maps_loss,
    "scores": _scores_loss,
    "vectors": _vectors_loss,
}


def _average(maps: list[Tensor], name: str) -> Tensor:
    if len(maps) == 1:
        return maps[0]
    shapes = {tuple(one.shape) for one in maps}
    if len(shapes) > 1:
        raise ValueError(f"{name}: teacher layers of one group need one shape; got {shapes}")
    return torch.stack(maps).mean(dim=0)
