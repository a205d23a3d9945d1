"""Queries, keys, and everything else that the maps of one attention follow from."""

import math
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from amad_tensorflow.attention.inputs import Tensor
from amad_tensorflow.streaming.blocks import lengths


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
        scale: what the products are multiplied by; ``None``: ``1/sqrt(d)``. A tensor, too.
        mask: boolean, 4 axes that broadcast to ``[B, H, Q, K]``, true where a key is seen;
            ``None``: all are.
        bias: what is added to the scores besides, 4 axes likewise (relative positions, alibi,
            additive masks).
        softcap: scores are ``softcap * tanh(scores / softcap)``; ``None``: as they are.
        sinks: ``[H]`` scores of a further key without a value, so that rows sum to less than 1; or
            4 axes that broadcast to ``[B, H, Q, 1]``.
        in_empty_rows: what the layer adds to keys that ``mask`` drops: with ``-inf`` a row that
            sees nothing is 0, with a finite number it is even over all keys.
        causal: queries see no key after them; as many queries as keys. Takes no memory, as
            a mask does.
        window: ``(before, after)``: keys from ``before`` positions before the query to ``after``
            after it; as many queries as keys. A sliding window of ``w`` keys that ends at the query
            is ``(w - 1, 0)``.
        log_sum_exp: ``[B, H, Q]``, of each row's scores and sinks, where the forward pass has it:
            for ``amad_torch``, which takes it as it is. Rows are divided by their own sum here.

    Examples:
        >>> queries, keys = (tf.random.normal([2, heads, 5, 16]) for heads in (8, 2))
        >>> attention = QueriesKeys(queries, keys, causal=True)
        >>> attention.shape
        (2, 8, 5, 5)
    """

    queries: Tensor
    keys: Tensor
    scale: float | Tensor | None = None
    mask: Tensor | None = None
    bias: Tensor | None = None
    softcap: float | None = None
    sinks: Tensor | None = None
    in_empty_rows: float = -math.inf
    causal: bool = False
    window: tuple[int, int] | None = None
    log_sum_exp: Tensor | None = None

    @property
    def factor(self) -> Tensor:
        """``scale``, or what it is by default, in the dtype of the queries."""
        dtype, size = self.queries.dtype, lengths(self.queries)[-1]
        if tf.is_tensor(self.scale):
            return tf.cast(self.scale, dtype)
        if self.scale is None and tf.is_tensor(size):
            return tf.cast(tf.cast(size, tf.float64) ** -0.5, dtype)
        # Not a cast, which would round a Python number to float32.
        return tf.constant(size**-0.5 if self.scale is None else self.scale, dtype)

    @property
    def shape(self) -> tuple[int | None, int | None, int | None, int | None]:
        """``(B, H, Q, K)`` of the maps, ``None`` for a length that a graph does not know."""
        batch, heads, queries, _ = self.queries.shape
        return batch, heads, queries, self.keys.shape[2]

    @property
    def even_in_empty_rows(self) -> bool:
        """Whether a row that sees nothing attends evenly."""
        return math.isfinite(self.in_empty_rows)


ALL = slice(None)
"""In an index's place: all samples, or all queries."""


def seen_keys(attended: QueriesKeys, sample: Any, rows: Any) -> Tensor | None:
    """True where a key is seen, of a sample and some of its queries, axes that broadcast.

    ``sample``: an index, or ``ALL`` of them. ``rows``: indices, or ``ALL``. ``None``: every key is.
    """
    parts = []
    if attended.mask is not None:
        parts.append(part(attended.mask, sample, rows))
    if attended.bias is not None:
        parts.append(part(attended.bias, sample, rows) != -math.inf)
    if attended.causal or attended.window is not None:
        parts.append(_in_order(attended, rows))
    if not parts:
        return None
    seen = parts[0]
    for other in parts[1:]:
        seen = seen & other
    return seen


def part(values: Tensor, sample: Any, rows: Any) -> Tensor:
    """A part of what broadcasts to ``[B, H, Q, K]``; axes of length 1 stay, or are repeated."""
    if sample is not ALL:
        values = values[tf.minimum(sample, tf.shape(values)[0] - 1)]
    if rows is ALL:
        return values
    return tf.gather(values, tf.minimum(rows, tf.shape(values)[-2] - 1), axis=-2)


def _in_order(attended: QueriesKeys, rows: Any) -> Tensor:
    """``[Q, K]``: what a causal order and a window leave."""
    if rows is ALL:
        rows = tf.range(tf.shape(attended.queries)[2])
    after = tf.range(tf.shape(attended.keys)[2]) - rows[:, tf.newaxis]
    seen = tf.fill(tf.shape(after), True)
    if attended.window is not None:
        before, beyond = attended.window
        seen = (after >= -before) & (after <= beyond)
    return seen & (after <= 0) if attended.causal else seen
