"""What a softmax made, on its way to the values."""

from dataclasses import dataclass, field, replace
from typing import Any

from amad_keras.capture.axes import HEADS, KEYS, QUERIES, Axes
from amad_keras.capture.fused import Fused
from amad_keras.capture.later import Later
from amad_keras.capture.operation import Operation
from amad_keras.capture.origins import Origin
from amad_keras.capture.products import BATCHED, letters
from amad_keras.capture.scores import (
    CASTS,
    SELECTIONS,
    SHAPES,
    Scores,
    number_of,
    number_throughout,
)
from amad_keras.capture.tensors import Tensor, rank

SPREAD = {
    *CASTS, *SHAPES, *SELECTIONS, "Transpose", "Mul", "RealDiv", "AddV2", "BiasAdd", "Sub",
    "StridedSlice", "Einsum", "Dropout",
}  # fmt: skip
"""What happens to probabilities between the softmax and the values."""


@dataclass(frozen=True)
class Traced:
    """Scores (``None``: no longer followed), and where their product and its operands come from.

    ``is_sure``: whether heads and queries can be told apart. ``is_heads_first``: whether samples
    and heads are one axis on which heads are the outer ones.
    """

    scores: Scores | Fused | None
    queries: Origin
    keys: Origin
    layers: tuple[Any, ...]
    is_sure: bool = True
    is_heads_first: bool = False


@dataclass
class Probabilities:
    """What a softmax made, and of which scores, where that is known.

    Attributes:
        maps: ``None`` where a fused operation builds none.
        order: which of their axes each of ``[B, ..., Q, K]`` is.
        number: of the softmax.
        is_masked: whether they have been multiplied by a mask.
        values: what they met, ``[B, Hk, K, d]``, or with samples and heads as one axis.
        weights: ``[D, H d]`` of each linear layer that the heads' outputs have gone into.
        captured_as: the name under which they are captured.
    """

    maps: Tensor | None
    traced: Traced | None
    order: list[int] | None = None
    number: int = 0
    is_found: bool = False
    is_masked: bool = False
    values: Later | None = None
    weights: list[Later] = field(default_factory=list)
    captured_as: str | None = None

    def is_pooling(self, layers: tuple[Any, ...]) -> bool:
        """Whether no product of activations in these running layers can have made their scores."""
        if self.traced is None:
            return True
        ran_in = self.traced.layers[-1:]
        is_here = any(one is ran for one in layers for ran in ran_in)
        return self.traced.scores is None and not is_here


def meets_values(operation: Operation, place: int, axes: Axes | None) -> bool:
    """Whether probabilities are summed over keys with something that has keys and no queries."""
    if operation.type in BATCHED:
        return rank(operation.inputs[1 - place]) == rank(operation.inputs[place])
    if operation.type != "Einsum":
        return False
    parsed = letters(operation)
    if parsed is None:
        return False
    own, other, result = parsed[place], parsed[1 - place], parsed[2]
    last = own[-2:]
    if axes is not None:
        last = "".join(
            own[axes.names.index(name)] for name in (QUERIES, KEYS) if name in axes.names
        )
    met = [one for one in last if one in other]
    return len(other) > 2 and own[0] in other and len(met) == 1 and met[0] not in result


def ends(operation: Operation, place: int, axes: Axes | None) -> bool:
    """Whether an einsum makes of them what are no probabilities: gates, in a linear layer."""
    return operation.type == "Einsum" and axes is not None and axes.after(operation, place) is None


def mixes_heads(
    operation: Operation, place: int, axes: Axes | None, known: list[Probabilities]
) -> bool:
    """Whether a linear layer mixes the heads (the last axis) of what is surely attention."""
    is_linear = operation.type in ("MatMul", "Conv2D", *BATCHED) and place == 0
    is_attention = all(one.traced is not None for one in known)
    return is_linear and is_attention and axes is not None and axes.names[-1] in HEADS


def is_still_maps(
    operation: Operation, place: int, origins: tuple[Origin, ...], known: Probabilities
) -> bool:
    """Rows that see nothing are made 0, a mask is multiplied, or the column of a sink is cut off;
    dropout is none of these."""
    if operation.type in SELECTIONS and place:
        is_zero = number_throughout(operation.inputs[3 - place]) == 0
        return is_zero and not origins[0].is_random
    if operation.type == "Mul" and not origins[1 - place].is_random:
        mask = operation.inputs[1 - place]
        is_mask = not known.is_masked and bool(rank(mask)) and mask.shape[-1] != 1
        if is_mask:
            known.is_masked = True
            known.traced = known.traced and replace(known.traced, scores=None)
        return is_mask
    if operation.type == "RealDiv" and known.is_masked and place == 0:
        by = operation.inputs[1]  # their sum, so that rows sum to 1 again
        return rank(by) == rank(operation.inputs[0]) and number_of(by) is None and by.shape[-1] == 1
    has_sinks = known.traced is not None and known.traced.scores is not None
    if operation.type == "StridedSlice" and has_sinks:
        return known.traced.scores.sinks is not None  # type: ignore[union-attr]
    return False
