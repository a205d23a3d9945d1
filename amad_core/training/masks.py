"""Masks: which cells of a map count, from the masks that a training loop holds."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amad_core.arguments.maps import check_map_shape
from amad_core.arguments.masks import (
    LARGEST_DROPPED,
    bad_additive,
    bad_padding,
    check_additive,
    check_mask_arguments,
    check_mask_lengths,
    check_padding,
    check_square,
)
from amad_core.attention.inputs import BoolArray, as_array


def cell_mask(
    *,
    tokens: ArrayLike | None = None,
    queries: ArrayLike | None = None,
    keys: ArrayLike | None = None,
    causal: bool = False,
    window: tuple[int, int] | None = None,
    additive: ArrayLike | None = None,
    maps: ArrayLike | None = None,
) -> BoolArray:
    """The mask of ``amad_loss``: true where everything that is given lets a cell count.

    A padded query has a row like any other in a model's maps, and only a mask takes it out. So the
    padding of the queries always has to be stated: ``tokens`` in self-attention, ``queries``
    in cross-attention, ones where nothing is padded. An inverted mask (``True`` for padding, as in
    ``torch.nn.MultiheadAttention``) cannot be told from a right one: invert it first.

    Args:
        tokens: padding mask ``[B, L]`` of self-attention, true or 1 for a real token; takes out
            the rows of padded queries and the columns of padded keys.
        queries: padding mask ``[B, Q]`` of the queries of cross-attention (the decoder's).
        keys: padding mask ``[B, K]`` of the keys of cross-attention (the encoder's).
        causal: take out keys after the query; needs as many queries as keys.
        window: ``(before, after)``: keep the keys from ``before`` positions before the query to
            ``after`` after it; needs as many queries as keys. A sliding window of ``w`` keys that
            ends at the query is ``(w - 1, 0)``.
        additive: mask ``[B, 1, Q, K]`` that a model adds to its scores, ``B`` or ``Q`` also 1:
            0 keeps a cell, -1000 and below, ``-inf`` included, takes it out.
        maps: the attention maps ``[B, H, Q, K]`` that the mask is for: gives the lengths where
            nothing else does, and is checked against where something does.

    Returns:
        Boolean ``[B, Q, K]``, true where a cell counts.

    Raises:
        TypeError: a padding mask that is neither boolean nor whole numbers, an additive mask that
            is not floating-point, a window that is no pair of integers.
        ValueError: arguments that leave open which cells count or contradict each other, a wrong
            rank, lengths that disagree, ``causal`` or ``window`` with unequal numbers of queries
            and keys; numbers in a padding mask other than 0 and 1, an additive mask with numbers
            between -1000 and 0 or above 0, with NaN, or without any cell kept.

    Examples:
        >>> mask = cell_mask(tokens=np.array([[1, 1, 0]]), causal=True)
        >>> [[int(cell) for cell in row] for row in mask[0]]
        [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
    """
    arguments = {
        "tokens": tokens,
        "queries": queries,
        "keys": keys,
        "additive": additive,
        "maps": maps,
    }
    given = {name: as_array(name, value) for name, value in arguments.items() if value is not None}
    check_mask_arguments(given, causal, window)
    parts = {name: _PARTS[name](values) for name, values in given.items()}
    check_mask_lengths({name: part.shape for name, part in parts.items()})
    valid = np.ones((1, 1, 1), dtype=bool)
    for part in parts.values():
        valid = valid & part
    return valid & _band(valid, causal, window)


def _self_attention(values: NDArray[Any]) -> BoolArray:
    real = _padding("tokens", values)
    return real[:, :, np.newaxis] & real[:, np.newaxis, :]


def _query_rows(values: NDArray[Any]) -> BoolArray:
    return _padding("queries", values)[:, :, np.newaxis]


def _key_columns(values: NDArray[Any]) -> BoolArray:
    return _padding("keys", values)[:, np.newaxis, :]


def _kept(values: NDArray[Any]) -> BoolArray:
    check_additive(values.dtype, np.issubdtype(values.dtype, np.floating), values.shape)
    kept = values == 0
    neither = ~(kept | (values <= LARGEST_DROPPED))
    if neither.any():
        raise bad_additive(f"{values[neither][0]}")
    if not kept.any():
        raise bad_additive("no 0 at all")
    return np.asarray(kept[:, 0])


def _every_cell(values: NDArray[Any]) -> BoolArray:
    check_map_shape("maps", values.shape)
    batch, _, queries, keys = values.shape
    return np.ones((batch, queries, keys), dtype=bool)


def _padding(argument: str, values: NDArray[Any]) -> BoolArray:
    boolean = values.dtype == bool
    countable = boolean or np.issubdtype(values.dtype, np.integer)
    check_padding(argument, values.dtype, countable, values.shape)
    other = ~np.isin(values, (0, 1))
    if other.any():
        raise bad_padding(argument, f"{values[other][0]}")
    return np.asarray(values == 1)


_PARTS = {
    "tokens": _self_attention,
    "queries": _query_rows,
    "keys": _key_columns,
    "additive": _kept,
    "maps": _every_cell,
}


def _band(valid: BoolArray, causal: bool, window: tuple[int, int] | None) -> BoolArray:
    """The cells ``[Q, K]`` that a causal order and a window leave; all where there is neither."""
    queries, keys = valid.shape[1:]
    band = np.ones((queries, keys), dtype=bool)
    if not causal and window is None:
        return band
    check_square(causal, queries, keys)
    after = np.arange(keys) - np.arange(queries)[:, np.newaxis]
    if causal:
        band = band & (after <= 0)
    if window is not None:
        band = band & (-window[0] <= after) & (after <= window[1])
    return band
