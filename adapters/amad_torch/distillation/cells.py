"""Which cells of a pair of maps count: from the batch, from the captured masks, from the user."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from amad_torch.capture.layer_attention import LayerAttention, both_masks
from amad_torch.distillation.match import AttentionMatch
from amad_torch.padding import padding_entries, real_tokens


def counted_cells(
    student: LayerAttention,
    match: AttentionMatch,
    batch: Mapping[str, Any],
    behind_encoder: bool,
) -> Tensor | None:
    """The boolean mask ``[B, Q, K]`` of one student layer; ``None``: every cell counts.

    A token counts where the batch's padding masks say so (``padding_entries``). On top of it comes
    what ``match.tokens`` says.
    """
    samples, _, queries, keys = student.shape
    chosen_queries, chosen_keys = _chosen(match, batch)
    of_queries, of_keys = (
        None if name is None else real_tokens(batch, name)
        for name in padding_entries(student, batch, behind_encoder)
    )
    of_queries = both_masks(
        of_queries, _checked(chosen_queries, samples, queries, "queries", student)
    )
    of_keys = both_masks(of_keys, _checked(chosen_keys, samples, keys, "keys", student))
    if of_queries is None and of_keys is None:
        return None
    device = (of_queries if of_queries is not None else of_keys).device  # type: ignore[union-attr]
    every = torch.ones(samples, 1, dtype=torch.bool, device=device)
    rows = (every if of_queries is None else of_queries)[:, :, None]
    columns = (every if of_keys is None else of_keys)[:, None, :]
    return (rows & columns).expand(samples, queries, keys)


def _chosen(match: AttentionMatch, batch: Mapping[str, Any]) -> tuple[Tensor | None, Tensor | None]:
    tokens = match.tokens
    one, other = tokens if isinstance(tokens, tuple) else (tokens, tokens)
    return _entry(one, batch), _entry(other, batch)


def _entry(tokens: Tensor | str | None, batch: Mapping[str, Any]) -> Tensor | None:
    if tokens is None or isinstance(tokens, Tensor):
        return tokens
    if tokens not in batch:
        known = ", ".join(map(repr, batch))
        raise ValueError(
            f"tokens must name an entry of the batch; got {tokens!r}, there are {known}"
        )
    found = batch[tokens]
    if not isinstance(found, Tensor):
        raise TypeError(f"tokens must name a tensor; batch[{tokens!r}] is a {type(found).__name__}")
    return found


def _checked(
    tokens: Tensor | None, samples: int, length: int, axis: str, student: LayerAttention
) -> Tensor | None:
    if tokens is None:
        return None
    if tokens.shape != (samples, length):
        raise ValueError(
            f"tokens must be boolean [batch, {axis}] = [{samples}, {length}] for "
            f"{student.path!r}; got shape {list(tokens.shape)}: give queries and keys apart, "
            "tokens=(queries, keys), where their numbers differ"
        )
    return tokens.bool()
