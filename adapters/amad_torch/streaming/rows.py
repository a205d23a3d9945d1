"""Rows of probabilities, one block at a time.

``s = softmax(z)`` over a whole row, ``z = softcap(q kᵀ scale) + bias`` where a key is seen.

A row is always in one block, so its softmax is taken anew in each sweep: one fused function, which
costs less than the exponential of scores from which a log-sum-exp that was kept is subtracted. One
that the caller has is taken. Guarded by tests/streaming/test_against_maps.py.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from amad_torch.closed_form.workspace import Workspace
from amad_torch.streaming.blocks import Block
from amad_torch.streaming.inputs import FAR, Side
from amad_torch.streaming.queries_keys import QueriesKeys, part, seen_keys

Room = Callable[..., Tensor]
"""``(name, *shape)`` to memory, uninitialised."""

NOT_SEEN = -1e30
"""The score of a key that is not seen: finite, so that a row without any is even and not NaN."""

NOT_COUNTED = -3e38
"""So far below it that cells that do not count get nothing even in a row without a key seen."""

_LEAST = -1e29
"""The least score of a key that is seen, above those that are not."""


_AT_ONCE = 2**19
"""So many scores are there together, where heads are treated alike: what a second cache holds."""


class Rows(NamedTuple):
    """One model's part of a block.

    Attributes:
        maps: probabilities ``[b, H, q, k]``; of the cells that count alone, where rows are divided
            by their sum over those.
        fixed: true for rows that do not depend on the scores, broadcasts; ``None``: there is none.
        tanh: of the scores, where there is a soft cap.
        sinking: the probability of the sink ``[b, H, q, 1]``, where there is one.
    """

    maps: Tensor
    fixed: Tensor | None = None
    tanh: Tensor | None = None
    sinking: Tensor | None = None


class BothRows(NamedTuple):
    """Both models' part of a block.

    Attributes:
        maps: the teacher's, then the student's ``[b, Ht + Hs, q, k]``: one product has both.
        teacher, student: the same, each with what its derivatives need.
    """

    maps: Tensor
    teacher: Rows
    student: Rows


def whole_rows(side: Side, block: Block, workspace: Workspace, room: Room, maps: Tensor) -> Rows:
    """The rows of the maps as they are, in the memory of ``maps``; the rest in ``room``."""
    attended = side.attended
    seen = _seen(side, block)
    tanh, sinking = None, None
    if _few_heads_at_once(attended, seen):
        _softmax(side, block, seen, workspace, maps)
    else:
        scores, tanh = _scores(side, block, workspace, room)
        taken_off = _hide(scores, seen, side)
        if attended.log_sum_exp is None or taken_off is not None or side.far:
            for ours, into in zip(scores, maps, strict=True):
                torch.softmax(ours, dim=-1, out=into)
            if attended.sinks is not None:
                # The sum that a row was divided by, from its largest cell.
                sums = scores.amax(dim=-1, keepdim=True) - maps.amax(dim=-1, keepdim=True).log()
                above = attended.sinks.view(-1, 1, 1) - sums
                above = above if taken_off is None else above - taken_off
                sinking = above.sigmoid()
                maps.mul_((-above).sigmoid())
        else:
            sums = attended.log_sum_exp[block.samples, :, block.queries].unsqueeze(-1)
            torch.sub(scores, sums, out=maps).exp_()
            if attended.sinks is not None:
                sinking = (attended.sinks.view(-1, 1, 1) - sums).exp()
    blank = None if seen is None else _where_any(~seen.any(dim=-1, keepdim=True))
    if blank is not None:
        even = attended.even_in_empty_rows and attended.sinks is None
        maps.masked_fill_(blank, 1 / attended.shape[3] if even else 0.0)
    return Rows(maps, blank, tanh, sinking)


def counted_rows(
    side: Side, block: Block, counted: Tensor | None, workspace: Workspace, name: str
) -> Rows:
    """The rows of the maps, divided by their sum over the cells ``[b, q, k]`` that count.

    That is a softmax over those cells alone, so that neither sinks nor what the other cells hold
    matter, nor a sum that is too small to divide by.
    """
    scores, tanh = _scores(side, block, workspace, workspace)
    seen = compared = _seen(side, block)
    taken_off = _hide(scores, seen, side)
    cells = None if counted is None else counted.unsqueeze(1)
    sinks = side.attended.sinks
    highest = None
    if side.far and (cells is not None or sinks is not None):
        highest = scores.amax(dim=-1, keepdim=True)
        if sinks is not None:
            sink = sinks.view(-1, 1, 1)
            highest = torch.maximum(highest, sink if taken_off is None else sink - taken_off)
    if cells is not None:
        _put(scores, ~cells, NOT_COUNTED, side.finite)
        compared = cells if seen is None else seen & cells
    maps = torch.softmax(scores, dim=-1, out=workspace(name, *scores.shape))
    if highest is None and compared is None:
        return Rows(maps, None, tanh)
    fixed = empty = _without_any(scores, highest, compared)
    if side.attended.even_in_empty_rows and side.attended.sinks is None and seen is not None:
        # A row that sees nothing stays even, over what counts of it.
        sees = seen.any(dim=-1, keepdim=True)
        empty = fixed & (sees if cells is None else sees | ~cells.any(dim=-1, keepdim=True))
    if _where_any(empty) is not None:
        maps.masked_fill_(empty, 0.0)
    return Rows(maps, _where_any(fixed), tanh)


def vectors(attended: QueriesKeys, block: Block) -> tuple[Tensor, Tensor]:
    """Queries and keys of a block for products, one matrix a key head.

    The queries of the heads that share keys stand behind each other.
    """
    queries = attended.queries[block.samples, :, block.queries]
    keys = attended.keys[block.samples, :, block.keys]
    groups = keys.shape[0] * keys.shape[1]
    return queries.reshape(groups, -1, queries.shape[-1]), keys.reshape(groups, *keys.shape[2:])


def _few_heads_at_once(attended: QueriesKeys, seen: Tensor | None) -> bool:
    """Whether all heads are treated alike, so that their scores need not be there together."""
    others = (attended.bias, attended.softcap, attended.sinks, attended.log_sum_exp)
    return (
        all(one is None for one in others)
        and (seen is None or seen.shape[:2] == (1, 1))
        and attended.queries.device.type == "cpu"
    )


def _softmax(
    side: Side, block: Block, seen: Tensor | None, workspace: Workspace, maps: Tensor
) -> None:
    """The maps ``[b, H, q, k]``, a few heads at a time: their scores stay in a cache."""
    queries, keys = vectors(side.attended, block)
    at_once, in_a_row = maps.shape[2:]
    key_heads = side.attended.keys.shape[1]
    together = max(1, _AT_ONCE // (queries.shape[1] * in_a_row))
    for sample, into in enumerate(maps):
        own = slice(sample * key_heads, (sample + 1) * key_heads)
        flat, ours, others = into.view(key_heads, -1, in_a_row), queries[own], keys[own]
        for first in range(0, key_heads, together):
            heads = slice(first, first + together)
            scores = workspace("scores", *flat[heads].shape)
            torch.baddbmm(
                scores,
                ours[heads],
                others[heads].mT,
                beta=0,
                alpha=side.attended.factor,
                out=scores,
            )
            if seen is not None:
                _hide(scores.view(-1, at_once, in_a_row), seen[0], side)
            torch.softmax(scores, dim=-1, out=flat[heads])


def _scores(
    side: Side, block: Block, workspace: Workspace, room: Room
) -> tuple[Tensor, Tensor | None]:
    """``softcap(q kᵀ scale) + bias`` ``[b, H, q, k]``, and the ``tanh`` in it."""
    attended = side.attended
    queries, keys = vectors(attended, block)
    flat = workspace("scores", *queries.shape[:2], keys.shape[1])
    torch.baddbmm(flat, queries, keys.mT, beta=0, alpha=attended.factor, out=flat)
    samples, at_once = (one.stop - one.start for one in block[:2])
    scores, tanh = flat.view(samples, -1, at_once, keys.shape[1]), None
    if attended.softcap is not None:
        tanh = room("tanh", *scores.shape)
        torch.tanh(scores.div_(attended.softcap), out=tanh)
        torch.mul(tanh, attended.softcap, out=scores)
        if not side.finite:  # of keys that nobody sees: it is multiplied by their gradient of 0
            tanh.nan_to_num_(0.0)
    if attended.bias is not None:
        scores.add_(part(attended.bias, *block))
    return scores, tanh


def _seen(side: Side, block: Block) -> Tensor | None:
    return seen_keys(side.attended, *block, by_bias=side.drops)


def _hide(scores: Tensor, seen: Tensor | None, side: Side) -> Tensor | None:
    """One score for all keys that are not seen, those that a bias of ``-inf`` drops among them.

    Returns what was taken off each row before, where scores may be as large as that one.
    """
    taken_off = None
    if seen is not None and not side.finite and scores.device.type == "cpu":
        taken_off = scores.masked_fill(~seen, -math.inf).amax(dim=-1, keepdim=True)
        scores.sub_(taken_off.masked_fill_(~seen.any(dim=-1, keepdim=True), 0.0))
    if taken_off is not None or (side.far and side.attended.bias is not None):
        scores.clamp_(min=_LEAST)
    if seen is not None:
        _put(scores, ~seen, NOT_SEEN, side.finite)
        if side.drops:
            scores.clamp_(min=NOT_SEEN)
    return taken_off


def _without_any(scores: Tensor, highest: Tensor | None, compared: Tensor | None) -> Tensor:
    """True for rows of which no cell counts, or so little that it is 0 in a map."""
    none = None if compared is None else ~compared.any(dim=-1, keepdim=True)
    if highest is None:
        assert none is not None
        return none
    nothing = scores.amax(dim=-1, keepdim=True) < highest - FAR
    return nothing if none is None else nothing | none


def _put(scores: Tensor, where: Tensor, score: float, finite: bool) -> None:
    """``score`` where it is true; added where that comes to the same, ten times as fast."""
    if finite and where.numel() < scores.numel():
        scores.add_(where.to(scores.dtype).mul_(score))
    else:
        scores.masked_fill_(where, score)


def _where_any(where: Tensor) -> Tensor | None:
    """``None`` where nothing is true; on a device, nobody looks."""
    return where if where.device.type != "cpu" or bool(where.any()) else None
