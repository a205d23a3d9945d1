"""Where tensors come from: what tells self-attention from cross-attention."""

import re
from collections.abc import Sequence
from typing import Any

import keras

from amad_keras.capture.operation import Operation
from amad_keras.capture.sources import is_weight
from amad_keras.capture.tensors import Tensor, is_floating, rank

_CROSS = re.compile(r"cross|encoder_attn|enc_?dec|encoder_decoder", re.IGNORECASE)
"""How models call attention to something else, where nothing else tells."""

_SAME = {"Cast", "Identity", "Reshape", "Transpose", "ExpandDims", "Squeeze", "StopGradient"}
_CONTRACTIONS = {"MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum", "Conv2D"}
_LOOKUPS = {"ResourceGather", "Gather", "GatherV2", "embedding", "index_select", "gather"}
"""How embeddings of tokens are looked up; one-hot tokens meet them in a product."""

_MIXED = {
    *_CONTRACTIONS, "Softmax", "FusedAttention", "ConcatV2", "Pack", "StridedSlice", "Slice",
    "Split", "SplitV", "Unpack", *_LOOKUPS, "Placeholder",
}  # fmt: skip
"""Operations that take cells of their inputs together, or some of them only."""

_PRODUCTS = {"BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum"}
_SHAPES = {"Shape", "Size", "Rank", "ZerosLike", "OnesLike"}
"""They take from a tensor nothing but its shape."""


class Origin:
    """The operation that made a tensor, and the calls of layers that it ran in; no tensor.

    Attributes:
        is_activation: whether floating-point numbers that the model was given have gone into it, or
            what it has looked up for tokens.
        is_learned: whether nothing that the model was given has, no tokens either; only weights.
        is_meeting: whether each cell of one activation meets each of another, as in scores.
    """

    __slots__ = (
        "fill", "inputs", "is_activation", "is_learned", "is_meeting", "is_random", "layers",
        "type",
    )  # fmt: skip

    def __init__(
        self,
        operation_type: str,
        inputs: tuple["Origin", ...],
        layers: tuple[Any, ...],
        is_activation: bool,
        is_learned: bool,
    ) -> None:
        self.type, self.inputs, self.layers = operation_type, inputs, layers
        self.is_activation, self.is_learned = is_activation, is_learned
        self.is_random: bool = "Random" in operation_type or any(one.is_random for one in inputs)
        self.fill: Any = None
        self.is_meeting = False

    @classmethod
    def outside(cls, tensor: Tensor, layers: tuple[Any, ...]) -> "Origin":
        """Of a tensor that was there before anybody watched."""
        is_given = _may_be_given(tensor) and not is_weight(tensor, layers)
        return cls("", (), (), is_floating(tensor) and is_given, not is_given)

    @classmethod
    def of(
        cls, operation: Operation, inputs: tuple["Origin", ...], layers: tuple[Any, ...]
    ) -> "Origin":
        """Of what an operation made."""
        kept = () if operation.type in _SHAPES else inputs
        is_entering = operation.type == "Placeholder" or (
            operation.type == "Const" and (rank(operation.outputs[0]) or 0) > 2
        )  # as what small tensors enter a graph, inputs among them
        entering = operation.outputs if is_entering else ()
        looks_up = operation.type in (*_LOOKUPS, *_CONTRACTIONS) and any(
            not one.is_learned for one in kept
        )
        is_activation = (
            any(map(is_floating, entering))
            or any(one.is_activation for one in kept)
            or (looks_up and is_floating(operation.outputs[0]))
        )
        is_learned = not any(map(_may_be_given, entering)) and all(one.is_learned for one in kept)
        made = cls(operation.type, kept, layers, is_activation, is_learned)
        of_two = len(inputs) == 2 and all(one.is_activation for one in inputs)
        made.is_meeting = of_two and (operation.type in _PRODUCTS or _is_outer(operation))
        return made

    def meeting(self) -> "Origin | None":
        """The last operation before this, or this, in which queries may have met keys."""
        seen, waiting = set(), [self]
        while waiting:
            one = waiting.pop(0)
            if one.is_meeting:
                return one
            if id(one) not in seen and one.type != "Softmax":
                seen.add(id(one))
                waiting += [given for given in one.inputs if given.is_activation]
        return None


def kind_of(queries: Origin, keys: Origin, layers: Sequence[Any], path: str) -> str:
    """``"cross"`` where queries and keys are projected from different tensors; by name where that
    is unknown, as with cached keys. A learned query that pools tokens is no token itself."""
    if queries.is_learned != keys.is_learned:
        return "cross"
    given: list[tuple[Origin, Origin]] = []
    for layer in reversed(layers):  # the innermost that projects both; else the innermost
        one, other = (_source(origin, layer) for origin in (queries, keys))
        if one is None or other is None:
            break
        if one[1] and other[1]:
            given.insert(0, (one[0], other[0]))
            break
        given.append((one[0], other[0]))
    if given:
        return "self" if _are_same_tokens(*given[0]) else "cross"
    return named_kind(path)


def named_kind(path: str) -> str:
    """What the path says."""
    return "cross" if _CROSS.search(path) else "self"


def _source(origin: Origin, layer: Any) -> tuple[Origin, bool] | None:
    """What the running layer was given and made these of, and whether it projected it.

    Of a model that writes its attention out itself: what the nearest projection was given.
    """
    given: list[tuple[Origin, bool]] = []
    near = isinstance(layer.caller, keras.Model)
    waiting, seen = [(origin, False)], set()
    while waiting:
        one, is_projected = waiting.pop()
        if (id(one), is_projected) in seen or not one.is_activation:
            continue
        seen.add((id(one), is_projected))
        is_first = not any(other.is_activation for other in one.inputs)  # looked up, or entering
        if is_first or layer not in one.layers or (near and is_projected):
            given.append((_stripped(one), is_projected))
            continue
        contracts = is_projected or one.type in _CONTRACTIONS
        waiting += [(other, contracts) for other in reversed(one.inputs)]
    projected = [one for one in given if one[1]]
    return next(iter(projected or given), None)


def _are_same_tokens(one: Origin, other: Origin) -> bool:
    """Whether nothing but norms, positions, or dropout lies between two tensors."""
    return one is other or _tokens(one) == _tokens(other)


def _tokens(origin: Origin) -> set[int]:
    """What a tensor was made of cell by cell: the ids of the last operations that mix cells."""
    found, seen, waiting = set(), set(), [origin]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        before = [given for given in one.inputs if given.is_activation]
        if not before or one.type in _MIXED:
            found.add(id(one))
        waiting += [] if one.type in _MIXED else before
    return found


def _is_outer(operation: Operation) -> bool:
    """Whether tensors are broadcast along an axis each: additive scores."""
    if operation.type not in ("Add", "AddV2", "Sub", "Mul"):
        return False
    shapes = [tuple(one.shape) if rank(one) else () for one in operation.inputs]
    pairs = list(zip(*(shape[::-1] for shape in shapes), strict=False))
    return any(a == 1 != b for a, b in pairs) and any(b == 1 != a for a, b in pairs)


def _may_be_given(tensor: Tensor) -> bool:
    """Not a handle of a variable, a length or a seed: they have fewer axes."""
    axes = rank(tensor)
    return axes is None or axes > 1


def _stripped(origin: Origin) -> Origin:
    """Without casts and changes of shape, which each argument of a layer gets by itself."""
    while origin.type in _SAME and origin.inputs:
        origin = origin.inputs[0]
    return origin
