"""What one layer attended to: queries, keys, and the maps that follow from them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras

from amad_keras.capture.later import Later
from amad_keras.capture.tensors import Tensor, accumulation_dtype, as_written, known_shape, lengths

LARGEST_NEGATIVE = -1e38
"""What a score becomes whose key is dropped; float32 holds it."""


class Attended(NamedTuple):
    """Everything that a layer's maps follow from; see :class:`LayerAttention`."""

    queries: Tensor
    keys: Tensor
    scale: float | Tensor
    mask: Tensor | None = None
    bias: Tensor | None = None
    softcap: float | None = None
    sinks: Tensor | None = None


class LayerAttention:
    """One attention of one forward pass.

    With queries ``q``, keys ``k`` and the layer's own scale,

    ``maps = softmax(softcap(q kᵀ scale) + bias)`` over the keys that ``mask`` leaves,

    before dropout. The maps are the layer's own, in its dtype; the rest is computed when it is
    asked for. Gradients flow as they do in the model.

    Attributes:
        path: names of the layers from the model down to this one, ``"block_0/attention"``.
        kind: ``"self"`` or ``"cross"``.
    """

    def __init__(
        self,
        path: str,
        kind: str,
        maps: Tensor | None,
        read: Callable[[], Attended] | None,
        *,
        values: Later | None = None,
        projections: Sequence[Later] = (),
    ) -> None:
        self.path, self.kind, self._maps = path, kind, maps
        self._read, self._values, self._projections = read, values, projections
        self._attended: Attended | None = None

    @property
    @as_written
    def maps(self) -> Tensor:
        """``[B, H, Q, K]`` after the softmax, and a mask that they are multiplied by, and before
        dropout. Rows that see no key are 0 where the layer makes them 0, and even where it only
        adds a large negative number; where a fused operation builds no maps, they are computed
        when they are asked for, in float32 or wider."""
        if self._maps is None:
            self._maps = attention_maps(self.attended)
        return self._maps

    @property
    def queries(self) -> Tensor:
        """``[B, H, Q, d]``."""
        return self.attended.queries

    @property
    def keys(self) -> Tensor:
        """``[B, Hk, K, d]``; grouped keys are not repeated, so ``Hk`` divides ``H``."""
        return self.attended.keys

    @property
    def scale(self) -> float | Tensor:
        """What the products of queries and keys are multiplied by; a scalar tensor where it is
        learned or follows from a shape."""
        return self.attended.scale

    @property
    def mask(self) -> Tensor | None:
        """Boolean, broadcastable to ``[B, H, Q, K]``, true where a key is seen, a causal order
        included; ``None``: all are."""
        return self.attended.mask

    @property
    def bias(self) -> Tensor | None:
        """What the layer adds to the scores besides, broadcastable to ``[B, H, Q, K]`` (T5's
        relative positions, alibi); ``None``: nothing. In a graph, where it may be zeros."""
        return self.attended.bias

    @property
    def softcap(self) -> float | None:
        """Scores are ``softcap * tanh(scores / softcap)``; ``None``: as they are."""
        return self.attended.softcap

    @property
    def sinks(self) -> Tensor | None:
        """``[B, H, Q, 1]`` scores of a further key without a value, so that rows sum to less than
        1; ``None``: there is none."""
        return self.attended.sinks

    @property
    @as_written
    def values(self) -> Tensor:
        """``[B, Hk, K, d]``, what the maps mix; grouped values are not repeated.

        Raises:
            ValueError: they are not known, or are no values of these keys.
        """
        found = None if self._values is None else self._values.read()
        batch, heads, _, keys = self.shape
        if found is not None and len(found.shape) == 3:  # samples and heads as one axis
            *first, _, _ = lengths(self.maps)
            found = keras.ops.reshape(found, [*first, *lengths(found)[1:]])
        if found is None or not _fits(known_shape(found), [batch, heads, keys]):
            raise ValueError(
                f"the values of {self.path!r} are not known: its maps meet them in a way that "
                "cannot be followed"
            )
        return found

    @property
    @as_written
    def projection(self) -> Tensor:
        """``[D, H d]``, the weight of the linear layer that mixes the heads' outputs.

        Raises:
            ValueError: it is not known: something else comes between, or two layers read the heads.
        """
        if len(self._projections) != 1:
            raise ValueError(
                f"the output projection of {self.path!r} is not known: its heads must go into one "
                f"linear layer; got {len(self._projections)}"
            )
        return self._projections[0].read()

    @property
    @as_written
    def head_outputs(self) -> Tensor:
        """``V_i W_i`` ``[B, H, K, D]``, what head i adds to the output for each key: its values
        times its part of :attr:`projection`.

        Raises:
            ValueError: values or projection are not known.
        """
        heads, values, weight = self.shape[1], self.values, self.projection
        dtype = accumulation_dtype(values, weight)
        values, weight = keras.ops.cast(values, dtype), keras.ops.cast(weight, dtype)
        if values.shape[1] != heads:
            values = keras.ops.repeat(values, heads // values.shape[1], axis=1)
        parts = keras.ops.reshape(weight, [lengths(weight)[0], heads, -1])
        return keras.ops.einsum("bhkd,ohd->bhko", values, parts)

    @property
    @as_written
    def attended(self) -> Attended:
        """All of the above at once.

        Raises:
            ValueError: only the maps are known.
        """
        if self._attended is None:
            if self._read is None:
                raise ValueError(
                    f"the queries and keys of {self.path!r} are not known, only its maps: the "
                    "layer computes its scores in a way that cannot be followed; use .maps"
                )
            self._attended = self._read()
        return self._attended

    @property
    def knows_queries_and_keys(self) -> bool:
        """Whether queries and keys can be asked for; maps always can."""
        return self._read is not None

    @property
    def holds_maps(self) -> bool:
        """Whether the maps are there already: the layer had them, or somebody asked."""
        return self._maps is not None

    @property
    def shape(self) -> tuple[int | None, ...]:
        """``(B, H, Q, K)`` of the maps, ``None`` for a length that a graph does not know."""
        if self._maps is None:
            batch, heads, rows, _ = known_shape(self.queries)
            return batch, heads, rows, known_shape(self.keys)[2]
        return tuple(known_shape(self._maps))

    def __repr__(self) -> str:
        return f"LayerAttention({self.path!r}, kind={self.kind!r})"


def _fits(values: Sequence[int | None], maps: Sequence[int | None]) -> bool:
    """Whether values ``[B, Hk, K, d]`` may be those of maps of ``B``, ``H`` and ``K``."""
    batch, heads, keys = maps
    same = all(
        None in pair or pair[0] == pair[1] for pair in ((values[0], batch), (values[2], keys))
    )
    return bool(same and heads and values[1] and heads % values[1] == 0)


def attention_scores(attended: Attended) -> Tensor:
    """``softcap(q kᵀ scale) + bias``, ``[B, H, Q, K]`` before the softmax, in float32 or wider."""
    queries, keys = attended.queries, attended.keys
    ops, dtype = keras.ops, accumulation_dtype(queries, keys)
    if keys.shape[1] != queries.shape[1]:
        keys = ops.repeat(keys, lengths(queries)[1] // lengths(keys)[1], axis=1)
    scores = ops.matmul(ops.cast(queries, dtype), ops.swapaxes(ops.cast(keys, dtype), -1, -2))
    scores = scores * ops.cast(attended.scale, dtype)
    if attended.softcap is not None:
        scores = attended.softcap * ops.tanh(scores / attended.softcap)
    return scores if attended.bias is None else scores + ops.cast(attended.bias, dtype)


def attention_maps(attended: Attended) -> Tensor:
    """The softmax of the scores over the keys that the mask leaves; 0 in rows that see none."""
    ops, scores, mask = keras.ops, attention_scores(attended), attended.mask
    if mask is not None:
        scores = ops.where(mask, scores, LARGEST_NEGATIVE)
    if attended.sinks is None:
        maps = ops.softmax(scores)
    else:
        column = ops.cast(attended.sinks, scores.dtype)
        column = ops.broadcast_to(column, (*lengths(scores)[:-1], 1))
        maps = ops.softmax(ops.concatenate([scores, column], -1))[..., :-1]
    return maps if mask is None else ops.where(mask, maps, ops.zeros_like(maps))
