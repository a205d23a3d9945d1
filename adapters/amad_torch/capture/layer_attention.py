"""What one layer attended to: queries, keys, and the maps that follow from them."""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from amad_torch.streaming.queries_keys import QueriesKeys, attention_maps, seen_keys

DROPPED_BESIDE_A_BIAS = -1e4
"""A model's mask that may hold a bias as well has this or less where a key is dropped.

Lower than for masks that are nothing else (``amad_core.arguments.masks``): where alibi counts from
the last key, the whole first row of a long text is biased by thousands, and still attends.
"""

_ROW_SUM_WITHIN = 0.02
"""bfloat16 rows of a softmax sum to 1 within 0.004; scores do not by chance."""


class LayerAttention:
    """One attention of one forward pass.

    With queries ``q``, keys ``k`` and the layer's own scale,

    ``maps = softmax(softcap(q kᵀ scale) + bias)`` over the keys that ``mask`` leaves,

    before dropout. Nothing is computed before it is asked for; all of it is in the autograd graph
    of the model's forward pass.

    Attributes:
        path: the module's path in the model; ``path#2`` of its second run.
        kind: ``"self"`` or ``"cross"``.
        requires_grad: whether the maps are in an autograd graph.
    """

    def __init__(
        self,
        path: str,
        kind: str,
        read: Callable[[], QueriesKeys] | None,
        *,
        requires_grad: bool,
        maps: Tensor | None = None,
        checked: bool = True,
        values: Callable[[], Tensor] | None = None,
    ) -> None:
        self.path, self.kind, self.requires_grad = path, kind, requires_grad
        self._read, self._maps, self._checked = read, maps, checked
        self._attended: QueriesKeys | None = None
        self._values = values
        self._projections: list[Tensor] = []

    @property
    def queries(self) -> Tensor:
        """``[B, H, Q, d]``."""
        return self.attended.queries

    @property
    def keys(self) -> Tensor:
        """``[B, Hk, K, d]``; grouped keys are not repeated, so ``Hk`` divides ``H``."""
        return self.attended.keys

    @property
    def scale(self) -> float:
        """What the products of queries and keys are multiplied by; 1 in T5."""
        return self.attended.factor

    @property
    def mask(self) -> Tensor | None:
        """Boolean, broadcastable to ``[B, H, Q, K]``, true where a key is seen, a causal order
        included; ``None``: all are."""
        return seen_keys(self.attended, by_bias=False)

    @property
    def bias(self) -> Tensor | None:
        """What the layer adds to the scores besides, broadcastable to ``[B, H, Q, K]`` (T5's
        relative positions, alibi); ``None``: nothing."""
        return self.attended.bias

    @property
    def softcap(self) -> float | None:
        """Scores are ``softcap * tanh(scores / softcap)``; ``None``: as they are."""
        return self.attended.softcap

    @property
    def sinks(self) -> Tensor | None:
        """``[H]`` scores of a further key without a value, so that rows sum to less than 1;
        ``None``: there is none."""
        return self.attended.sinks

    @property
    def values(self) -> Tensor:
        """``[B, Hk, K, d]``, what the maps mix; grouped values are not repeated.

        Raises:
            ValueError: they are not known, or are no values of these keys.
        """
        found = None if self._values is None else self._values()
        batch, heads, _, keys = self.shape
        fits = found is not None and found.dim() == 4 and heads % found.shape[1] == 0
        if found is None or not fits or (found.shape[0], found.shape[2]) != (batch, keys):
            raise ValueError(
                f"the values of {self.path!r} are not known: its maps meet them in a way that "
                "cannot be followed; say with register_attention(module_class, function) what "
                "they are"
            )
        return found

    @property
    def projection(self) -> Tensor:
        """``[D, H d]``, the weight of the linear layer that mixes the heads' outputs.

        Raises:
            ValueError: it is not known: something else comes between, two layers read the heads (as
                with an adapter), or the weight is sharded and not here.
        """
        found = {id(one): one for one in self._projections}
        weight = next(iter(found.values()), None)
        if weight is None or len(found) > 1 or not weight.untyped_storage().size():
            raise ValueError(
                f"the output projection of {self.path!r} is not known: its heads must go into one "
                "linear layer, not compiled, without an adapter, whose weight is whole; got "
                f"{'a sharded one' if len(found) == 1 else len(found)}"
            )
        return weight

    def meets(self, weight: Tensor) -> None:
        """The heads' outputs went into a linear layer."""
        self._projections.append(weight)

    @property
    def head_outputs(self) -> Tensor:
        """``V_i W_i`` ``[B, H, K, D]``, what head i adds to the output for each key: its values
        times its part of :attr:`projection`.

        Raises:
            ValueError: values or projection are not known.
        """
        heads, values, weight = self.shape[1], self.values, self.projection
        values = values.repeat_interleave(heads // values.shape[1], dim=1)
        parts = weight.reshape(len(weight), heads, -1).to(values.dtype)
        return torch.einsum("bhkd,ohd->bhko", values, parts)

    @property
    def attended(self) -> QueriesKeys:
        """All of the above at once.

        Raises:
            ValueError: only the maps are known.
        """
        if self._attended is None:
            if self._read is None:
                raise ValueError(
                    f"the queries and keys of {self.path!r} are not known, only its maps: the "
                    "module computes its scores in a way that cannot be followed; use .maps, or "
                    "say with register_attention(module_class, function) what it attends to"
                )
            attended = self._read()
            self._attended = replace(
                attended, mask=_of_four_axes(attended.mask), bias=_of_four_axes(attended.bias)
            )
        return self._attended

    @property
    def knows_queries_and_keys(self) -> bool:
        """Whether queries and keys can be asked for; maps always can."""
        return self._read is not None

    @property
    def holds_maps(self) -> bool:
        """Whether the maps are there already: the module had them, or somebody asked."""
        return self._maps is not None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``(B, H, Q, K)`` of the maps."""
        if self._maps is not None:
            batch, heads, queries, keys = self._maps.shape
            return batch, heads, queries, keys
        batch, heads, queries, _ = self.queries.shape
        return batch, heads, queries, self.keys.shape[2]

    @property
    def device(self) -> torch.device:
        """Where the maps are."""
        return self.queries.device if self._maps is None else self._maps.device

    @property
    def maps(self) -> Tensor:
        """``[B, H, Q, K]`` after the softmax and before dropout.

        Rows that see no key are 0 where the layer masks with booleans or ``-inf``, and even where
        it adds a large negative number, as in the layer itself.

        Raises:
            ValueError: rows that do not sum to 1: scores were taken for probabilities.
        """
        if self._maps is None:
            self._maps = attention_maps(self.attended)
        if not self._checked:
            self._check_rows(self._maps)
            self._checked = True
        return self._maps

    def _check_rows(self, maps: Tensor) -> None:
        sums = maps.detach().float().sum(-1)
        off = ~((sums - 1).abs() <= _ROW_SUM_WITHIN) & (sums != 0)
        negative = bool((maps.detach() < 0).any())
        if negative or bool(off.any()):
            found = (
                "negative cells" if negative else f"a row that sums to {float(sums[off][0]):.4g}"
            )
            raise ValueError(
                f"the attention of {self.path!r} must be probabilities, rows that sum to 1; got "
                f"{found}: scores before the softmax, or maps after dropout, were taken for maps"
            )

    def __repr__(self) -> str:
        return f"LayerAttention({self.path!r}, kind={self.kind!r})"


def _of_four_axes(one: Tensor | None) -> Tensor | None:
    if one is None or one.dim() >= 4:
        return one
    return one.reshape(*[1] * (4 - one.dim()), *one.shape)


def mask_and_bias(given: Tensor | None) -> tuple[Tensor | None, Tensor | None, float]:
    """What a model's one mask argument says: keys that are seen, a bias, ``in_empty_rows``.

    Args:
        given: boolean, true where a key is seen, or additive; broadcastable to ``[B, H, Q, K]``.
    """
    if given is None:
        return None, None, -math.inf
    if given.dtype == torch.bool:
        return given, None, -math.inf
    seen = given > DROPPED_BESIDE_A_BIAS
    fill = -math.inf if bool(torch.isinf(given).any()) else DROPPED_BESIDE_A_BIAS
    bias = given.masked_fill(~seen, 0.0)
    return seen, bias if bias.requires_grad or bool(bias.any()) else None, fill


def both_biases(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    """The sum of two biases, where there are two."""
    if one is None or other is None:
        return other if one is None else one
    return one + other


def both_masks(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    """What both masks leave, on the device of the first."""
    if one is None or other is None:
        return other if one is None else one
    return one & other.to(one.device)


def causal_mask(queries: int, keys: int, device: torch.device, offset: int = 0) -> Tensor:
    """``[1, 1, Q, K]``: query ``i`` sees keys up to ``i + offset``."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(offset)[None, None]
