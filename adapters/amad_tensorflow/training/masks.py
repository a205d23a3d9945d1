"""Masks: which cells of a map count, from the masks that a training loop holds."""

import tensorflow as tf

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
from amad_tensorflow.attention.inputs import Tensor, as_tensor, known_shape
from amad_tensorflow.attention.tracing import as_written
from amad_tensorflow.attention.value_checks import reads_values, require


@as_written
def cell_mask(
    *,
    tokens: Tensor | None = None,
    queries: Tensor | None = None,
    keys: Tensor | None = None,
    causal: bool = False,
    window: tuple[int, int] | None = None,
    additive: Tensor | None = None,
    maps: Tensor | None = None,
    check_values: bool | None = None,
) -> Tensor:
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
        check_values: look for numbers that no such mask holds: always (``True``), never
            (``False``), or where it costs no device synchronisation (``None``).

    Returns:
        Boolean ``[B, Q, K]``, true where a cell counts.

    Raises:
        TypeError: a padding mask that is neither boolean nor whole numbers, an additive mask that
            is not floating-point, a window that is no pair of integers.
        ValueError: arguments that leave open which cells count or contradict each other, a wrong
            rank, lengths that disagree, ``causal`` or ``window`` with unequal numbers of queries
            and keys; as far as values are checked, numbers in a padding mask other than 0 and 1,
            an additive mask with numbers between -1000 and 0 or above 0, with NaN, or without any
            cell kept.

    Examples:
        >>> mask = cell_mask(tokens=tf.constant([[1, 1, 0]]), causal=True)
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
    given = {name: as_tensor(name, value) for name, value in arguments.items() if value is not None}
    check_mask_arguments(given, causal, window)
    parts = {name: _PARTS[name](values, check_values) for name, values in given.items()}
    check_mask_lengths({name: known_shape(part) for name, part in parts.items()})
    valid, *others = parts.values()
    for part in others:
        valid = valid & part
    return valid & _band(valid, causal, window)


def _self_attention(values: Tensor, check_values: bool | None) -> Tensor:
    real = _padding("tokens", values, check_values)
    return real[:, :, tf.newaxis] & real[:, tf.newaxis, :]


def _query_rows(values: Tensor, check_values: bool | None) -> Tensor:
    return _padding("queries", values, check_values)[:, :, tf.newaxis]


def _key_columns(values: Tensor, check_values: bool | None) -> Tensor:
    return _padding("keys", values, check_values)[:, tf.newaxis, :]


def _kept(values: Tensor, check_values: bool | None) -> Tensor:
    check_additive(values.dtype.name, values.dtype.is_floating, known_shape(values))
    kept = values == tf.zeros([], values.dtype)
    if reads_values(values, check_values):
        dropped = values <= tf.cast(LARGEST_DROPPED, values.dtype)
        neither = ~(kept | dropped)
        require(
            ~tf.reduce_any(neither),
            bad_additive,
            lambda: str(tf.boolean_mask(values, neither)[0].numpy()),
        )
        require(tf.reduce_any(kept), bad_additive, lambda: "no 0 at all")
    return kept[:, 0]


def _every_cell(values: Tensor, check_values: bool | None) -> Tensor:
    check_map_shape("maps", known_shape(values))
    return tf.ones_like(values[:, 0], dtype=tf.bool)


def _padding(argument: str, values: Tensor, check_values: bool | None) -> Tensor:
    boolean = values.dtype == tf.bool
    countable = boolean or values.dtype.is_integer
    check_padding(argument, values.dtype.name, countable, known_shape(values))
    if boolean:
        return values
    real = values == tf.ones([], values.dtype)
    if reads_values(values, check_values):
        other = ~(real | (values == tf.zeros([], values.dtype)))
        require(
            ~tf.reduce_any(other),
            lambda found: bad_padding(argument, found),
            lambda: str(tf.boolean_mask(values, other)[0].numpy()),
        )
    return real


_PARTS = {
    "tokens": _self_attention,
    "queries": _query_rows,
    "keys": _key_columns,
    "additive": _kept,
    "maps": _every_cell,
}


def _band(valid: Tensor, causal: bool, window: tuple[int, int] | None) -> Tensor:
    """The cells ``[Q, K]`` that a causal order and a window leave; all where there is neither."""
    band = tf.ones_like(valid[0])
    if not causal and window is None:
        return band
    _, queries, keys = known_shape(valid)
    check_square(causal, queries, keys)
    lengths = tf.shape(valid)
    if queries is None or keys is None:
        tf.debugging.assert_equal(
            lengths[1], lengths[2], message="causal and window need as many queries as keys"
        )
    after = tf.range(lengths[2]) - tf.range(lengths[1])[:, tf.newaxis]
    if causal:
        band = band & (after <= 0)
    if window is not None:
        band = band & (-window[0] <= after) & (after <= window[1])
    return band
