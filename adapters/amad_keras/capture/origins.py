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
_SHAPES = {"Shape", "Size", "Rank", "ZerosLike", "OnesLike"}
"""They take from a tensor nothing but its shape."""


class Origin:
    """The operation that made a tensor, and the calls of layers that it ran in; no tensor.

    Attributes:
        is_activation: whether floating-point numbers that the model was given have gone into it.
        is_learned: whether nothing that the model was given has, no tokens either; only weights.
    """

    __slots__ = ("fill", "inputs", "is_activation", "is_learned", "is_random", "layers", "type")

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
        entering = operation.outputs if operation.type == "Placeholder" else ()
        is_activation = any(map(is_floating, entering)) or any(one.is_activation for one in kept)
        is_learned = not any(map(_may_be_given, entering)) and all(one.is_learned for one in kept)
        return cls(operation.type, kept, layers, is_activation, is_learned)


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
        return "self" if given[0][0] is given[0][1] else "cross"
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
        if layer not in one.layers or (near and is_projected):
            given.append((_stripped(one), is_projected))
            continue
        contracts = is_projected or one.type in _CONTRACTIONS
        waiting += [(other, contracts) for other in reversed(one.inputs)]
    projected = [one for one in given if one[1]]
    return next(iter(projected or given), None)


def _may_be_given(tensor: Tensor) -> bool:
    """Not a handle of a variable, a length or a seed: they have fewer axes."""
    axes = rank(tensor)
    return axes is None or axes > 1


def _stripped(origin: Origin) -> Origin:
    """Without casts and changes of shape, which each argument of a layer gets by itself."""
    while origin.type in _SAME and origin.inputs:
        origin = origin.inputs[0]
    return origin
