"""Scores that are on their way to a softmax: which queries and keys they came from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from amad_torch.capture.layer_attention import both_biases, both_masks, mask_and_bias
from amad_torch.streaming.queries_keys import QueriesKeys

_CASTS = {"to", "type_as", "type", "float", "half", "bfloat16", "contiguous", "clone"}
_SHAPES = {"view", "reshape", "unflatten", "flatten", "_unsafe_view"}
_SCALED = {"mul", "__mul__", "__rmul__", "mul_", "__imul__"}
_DIVIDED = {"div", "__truediv__", "true_divide", "div_", "__itruediv__", "divide"}
_ADDED = {"add", "__add__", "__radd__", "add_", "__iadd__"}


@dataclass(frozen=True)
class Scores:
    """Queries, keys, and what has happened to their products since.

    Attributes:
        queries, keys: ``[..., Q, d]`` and ``[..., K, d]``, with the leading axes of the scores.
        scale: what the products are multiplied by.
        added: biases and additive masks.
        dropped: boolean masks, true where a key is *not* seen.
        softcap: of a tanh on the way.
    """

    queries: Tensor
    keys: Tensor
    scale: float = 1.0
    added: tuple[Tensor, ...] = ()
    dropped: tuple[Tensor, ...] = ()
    softcap: float | None = None

    def read(self, batch: int, heads: int) -> QueriesKeys:
        """What the maps follow from; axes of samples and heads that are one come apart."""
        queries, keys = (apart(one, batch, heads) for one in (self.queries, self.keys))
        mask: Tensor | None = None
        bias: Tensor | None = None
        fill = -float("inf")
        for one in self.added:
            its_mask, its_bias, its_fill = mask_and_bias(apart(one, batch, heads))
            mask, fill = both_masks(mask, its_mask), max(fill, its_fill)
            bias = both_biases(bias, its_bias)
        for one in self.dropped:
            mask = both_masks(mask, ~apart(one, batch, heads))
        return QueriesKeys(queries, keys, self.scale, mask, bias, self.softcap, in_empty_rows=fill)


def product_of(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Scores | None:
    """The scores that a product of two activations may be; ``None`` where it can be none."""
    if name == "einsum":
        return _einsum(args)
    if name == "baddbmm":
        bias, left, right = args[:3]
        beta, alpha = kwargs.get("beta", 1), kwargs.get("alpha", 1)
        added = () if beta == 0 else (bias if beta == 1 else beta * bias,)
        return Scores(left, right.transpose(-1, -2), float(alpha), added)
    left, right = args[:2] if name != "__rmatmul__" else (args[1], args[0])
    if left.dim() < 3 or right.dim() < 3 or left.shape[-1] != right.shape[-2]:
        return None
    return Scores(left, right.transpose(-1, -2))


def through(
    scores: Scores,
    tensor: Tensor,
    name: str,
    output: Tensor,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Scores | None:
    """The scores after a further function; ``None`` where it cannot be followed."""
    others = [one for one in args if one is not tensor]
    other = others[0] if others else next(iter(kwargs.values()), None)
    if name in _CASTS:
        return scores
    if name in _SHAPES:
        return _reshaped(scores, output)
    if name in _SCALED | _DIVIDED:
        number = _number(other)
        if number is None or (name in _DIVIDED and args[0] is not tensor):
            return None
        factor = number if name in _SCALED else 1 / number
        if scores.softcap is not None and scores.softcap < 0:  # after the tanh
            return (
                replace(scores, scale=scores.scale * factor, softcap=factor) if factor > 0 else None
            )
        return (
            None if scores.added or scores.dropped else replace(scores, scale=scores.scale * factor)
        )
    if name in _ADDED and isinstance(other, Tensor) and other.is_floating_point():
        alpha = kwargs.get("alpha", 1)
        return replace(scores, added=(*scores.added, other if alpha == 1 else alpha * other))
    if name in ("masked_fill", "masked_fill_"):
        dropped = args[1] if len(args) > 1 else kwargs["mask"]
        return replace(scores, dropped=(*scores.dropped, dropped))
    if name == "where" and isinstance(args[0], Tensor) and args[0].dtype == torch.bool:
        kept = args[0] if args[1] is tensor else ~args[0]
        return replace(scores, dropped=(*scores.dropped, ~kept))
    if name == "tanh":
        return None if scores.added or scores.dropped else replace(scores, softcap=-1.0)
    return None


def _number(other: Any) -> float | None:
    if isinstance(other, Tensor):
        return float(other) if other.numel() == 1 and not other.requires_grad else None
    return float(other) if isinstance(other, Real) else None


def _reshaped(scores: Scores, output: Tensor) -> Scores | None:
    """Leading axes split or joined; queries and keys go along."""
    queries, keys = scores.queries, scores.keys
    if output.shape[-2:] != (queries.shape[-2], keys.shape[-2]):
        return None
    before = torch.broadcast_tensors(queries[..., 0, 0], keys[..., 0, 0])[0].shape  # type: ignore[no-untyped-call]
    lead = output.shape[:-2]
    if lead.numel() != queries.shape[:-2].numel() or lead.numel() != keys.shape[:-2].numel():
        return None
    return replace(
        scores,
        queries=queries.reshape(*lead, *queries.shape[-2:]),
        keys=keys.reshape(*lead, *keys.shape[-2:]),
        added=tuple(_along(one, before, lead) for one in scores.added),
        dropped=tuple(_along(one, before, lead) for one in scores.dropped),
    )


def _along(one: Tensor, before: torch.Size, lead: torch.Size) -> Tensor:
    """A bias or mask of scores whose leading axes were ``before`` and are now ``lead``."""
    if one.shape[:-2].numel() == 1:
        return one.reshape(one.shape[-2:])
    return one.expand(*before, *one.shape[-2:]).reshape(*lead, *one.shape[-2:])


def _einsum(args: tuple[Any, ...]) -> Scores | None:
    equation = args[0]
    operands = args[1] if len(args) == 2 and isinstance(args[1], tuple | list) else args[1:]
    if not isinstance(equation, str) or "->" not in equation or "." in equation:
        return None
    inputs, result = equation.replace(" ", "").split("->")
    names = inputs.split(",")
    if len(names) != 2 or len(operands) != 2 or len(result) < 3:
        return None
    summed = [one for one in names[0] if one in names[1] and one not in result]
    queries = [one for one in result if one in names[0] and one not in names[1]]
    keys = [one for one in result if one in names[1] and one not in names[0]]
    if [len(summed), len(queries), len(keys)] != [1, 1, 1] or result[-2:] not in (
        queries[0] + keys[0],
        keys[0] + queries[0],
    ):
        return None
    left, right = operands
    if result[-1] == queries[0]:  # the keys are the left operand
        left, right, names, queries, keys = right, left, names[::-1], keys, queries
    lead = result[:-2]
    if any(one not in names[0] or one not in names[1] for one in lead):
        return None
    return Scores(
        torch.einsum(f"{names[0]}->{lead}{queries[0]}{summed[0]}", left),
        torch.einsum(f"{names[1]}->{lead}{keys[0]}{summed[0]}", right),
    )


def apart(one: Tensor, batch: int, heads: int) -> Tensor:
    """With axes of samples and heads where they are one."""
    if one.dim() == 3 and one.shape[0] == batch * heads:
        return one.reshape(batch, heads, *one.shape[1:])
    return one
