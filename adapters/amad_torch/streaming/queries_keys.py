"""Queries, keys, and everything else that the maps of one attention follow from."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class QueriesKeys:
    """What an attention layer computes its maps from.

    With queries ``q`` and keys ``k``,

    ``maps = softmax(softcap(q kᵀ scale) + bias)`` over the keys that are seen.

    A key is seen where ``mask`` is true, ``causal`` and ``window`` allow it and ``bias`` is not
    ``-inf``. Checked where it is used.

    Args:
        queries: ``[B, H, Q, d]``, real floats.
        keys: ``[B, Hk, K, d]``; ``Hk`` divides ``H``, grouped keys are not repeated: head ``h``
            has the keys ``h // (H / Hk)``.
        scale: what the products are multiplied by; ``None``: ``1/sqrt(d)``.
        mask: boolean, 4 axes that broadcast to ``[B, H, Q, K]``, true where a key is seen;
            ``None``: all are.
        bias: what is added to the scores besides, 4 axes likewise (relative positions, alibi,
            additive masks).
        softcap: scores are ``softcap * tanh(scores / softcap)``; ``None``: as they are.
        sinks: ``[H]`` scores of a further key without a value, so that rows sum to less than 1.
        in_empty_rows: what the layer adds to keys that ``mask`` drops: with ``-inf`` a row that
            sees nothing is 0, with a finite number it is even over all keys.
        causal: queries see no key after them; as many queries as keys. Takes no memory, as
            a mask does.
        window: ``(before, after)``: keys from ``before`` positions before the query to ``after``
            after it; as many queries as keys. A sliding window of ``w`` keys that ends at the query
            is ``(w - 1, 0)``.
        log_sum_exp: ``[B, H, Q]``, of each row's scores and sinks, where the forward pass has it.
            Taken as it is: one of other scores (unscaled, without the bias, of other masks) gives
            wrong numbers without a word.

    Examples:
        >>> attention = QueriesKeys(torch.randn(2, 8, 5, 16), torch.randn(2, 2, 5, 16), causal=True)
        >>> attention.shape
        (2, 8, 5, 5)
    """

    queries: Tensor
    keys: Tensor
    scale: float | None = None
    mask: Tensor | None = None
    bias: Tensor | None = None
    softcap: float | None = None
    sinks: Tensor | None = None
    in_empty_rows: float = -math.inf
    causal: bool = False
    window: tuple[int, int] | None = None
    log_sum_exp: Tensor | None = None

    @property
    def factor(self) -> float:
        """``scale``, or what it is by default."""
        return self.queries.shape[-1] ** -0.5 if self.scale is None else float(self.scale)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``(B, H, Q, K)`` of the maps."""
        batch, heads, queries = self.queries.shape[:3]
        return batch, heads, queries, self.keys.shape[2]

    @property
    def even_in_empty_rows(self) -> bool:
        """Whether a row that sees nothing attends evenly."""
        return math.isfinite(self.in_empty_rows)


def attention_scores(attended: QueriesKeys) -> Tensor:
    """``softcap(q kᵀ scale) + bias``, before any mask."""
    queries, keys = attended.queries, attended.keys
    if keys.shape[1] != queries.shape[1]:
        keys = keys.repeat_interleave(queries.shape[1] // keys.shape[1], dim=1)
    scores = (queries @ keys.transpose(-1, -2)) * attended.factor
    if attended.softcap is not None:
        scores = attended.softcap * torch.tanh(scores / attended.softcap)
    return scores if attended.bias is None else scores + attended.bias


def attention_maps(attended: QueriesKeys) -> Tensor:
    """The maps themselves, ``[B, H, Q, K]``: what the streamed loss never builds."""
    scores = attention_scores(attended)
    seen = seen_keys(attended)
    if seen is None:
        return _softmax(scores, attended.sinks)
    if attended.even_in_empty_rows:
        scores = scores.masked_fill(~seen, torch.finfo(scores.dtype).min)
        return _softmax(scores, attended.sinks)
    sees = seen.any(-1, keepdim=True)
    # Rows that see nothing: any finite scores do, and what comes of them is dropped.
    scores = scores.masked_fill(~seen & sees, -math.inf).masked_fill(~sees, 0.0)
    return _softmax(scores, attended.sinks).masked_fill(~sees, 0.0)


def seen_keys(
    attended: QueriesKeys,
    samples: slice = slice(None),
    queries: slice = slice(None),
    keys: slice = slice(None),
    *,
    by_bias: bool = True,
) -> Tensor | None:
    """True where a key is seen, of these samples, queries and keys, 4 axes that broadcast.

    ``None``: every key is. ``by_bias``: look for ``-inf`` in the bias too.
    """
    parts = []
    if attended.mask is not None:
        parts.append(part(attended.mask, samples, queries, keys))
    if attended.bias is not None and by_bias:
        parts.append(part(attended.bias, samples, queries, keys) != -math.inf)
    if attended.causal or attended.window is not None:
        parts.append(_in_order(attended, queries, keys))
    if not parts:
        return None
    seen = parts[0]
    for other in parts[1:]:
        seen = seen & other
    return seen


def part(values: Tensor, samples: slice, queries: slice, keys: slice) -> Tensor:
    """A part of what broadcasts to ``[B, H, Q, K]``; axes of length 1 stay."""
    wanted = (samples, slice(None), queries, keys)
    chosen = (
        one if length > 1 else slice(None) for one, length in zip(wanted, values.shape, strict=True)
    )
    return values[tuple(chosen)]


def _in_order(attended: QueriesKeys, queries: slice, keys: slice) -> Tensor:
    """``[1, 1, Q, K]``: what a causal order and a window leave."""
    device = attended.queries.device
    rows, columns = (
        torch.arange(*chosen.indices(length), device=device)
        for chosen, length in zip((queries, keys), attended.shape[2:], strict=True)
    )
    after = columns - rows.unsqueeze(1)
    before, beyond = (math.inf, math.inf) if attended.window is None else attended.window
    beyond = min(beyond, 0) if attended.causal else beyond
    return ((after >= -before) & (after <= beyond))[None, None]


def _softmax(scores: Tensor, sinks: Tensor | None) -> Tensor:
    if sinks is None:
        return scores.softmax(-1)
    column = sinks.reshape(1, -1, 1, 1).expand(*scores.shape[:3], 1).to(scores.dtype)
    return torch.cat([scores, column], dim=-1).softmax(-1)[..., :-1]
