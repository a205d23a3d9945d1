"""Which axes of maps are samples and heads, where it can be told."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from amad_keras.capture.axes import heads_of, stated_heads
from amad_keras.capture.operation import Operation
from amad_keras.capture.probabilities import Probabilities
from amad_keras.capture.scores import CASTS, Scores
from amad_keras.capture.sources import static_value
from amad_keras.capture.tensors import Tensor, known_shape, lengths, rank

OF_FEATURES = (
    "its softmax runs over the features of queries, or for each feature over the tokens of keys, "
    "and no query meets a key (linear attention), so that there are no maps of queries and keys"
)
_HEADS_OR_QUERIES = (
    "which axis of its maps is that of the heads cannot be told; have the layer say how many it "
    "has (an attribute num_heads), and run it on another number of tokens and samples than that"
)
_WINDOWS_OR_HEADS = (
    "its maps have several axes before those of queries and keys, which may be windows or heads; "
    "have the layer say how many heads it has (an attribute num_heads)"
)
_CELLWISE = {*CASTS, "Mul", "RealDiv", "AddV2", "BiasAdd", "Sub", "Transpose"}


class UnclearError(ValueError):
    """It cannot be told which axis of maps is which."""


def arranged(probabilities: Probabilities, layer: keras.layers.Layer) -> Tensor:
    """Maps as ``[B, H, Q, K]``, whichever order their axes have, and where heads are one axis
    with the samples, or two.

    Raises:
        UnclearError: in words.
    """
    maps, order, traced = probabilities.maps, probabilities.order, probabilities.traced
    if traced is not None and not traced.is_sure:
        raise UnclearError(_HEADS_OR_QUERIES)
    if order is not None and rank(maps) == len(order):
        maps = keras.ops.transpose(maps, order)
    scores = None if traced is None else traced.scores
    shares_keys = isinstance(scores, Scores) and _shares_keys(scores)
    known, stated = known_shape(maps), stated_heads(layer)
    if len(known) == 4:
        confused = [known[0], known[2] if shares_keys or scores is None else None]
        if stated and known[1] not in (None, stated) and stated in confused:
            raise UnclearError(_HEADS_OR_QUERIES)
        return maps
    *lead, queries, keys = lengths(maps)
    if len(lead) == 1:
        heads = heads_of(layer, known[0])
        if traced is not None and traced.is_heads_first:
            maps = keras.ops.reshape(maps, [heads, -1, queries, keys])
            return keras.ops.transpose(maps, (1, 0, 2, 3))
        return keras.ops.reshape(maps, [-1, heads, queries, keys])
    heads = math.prod(lead[1:])
    apart = [one for one in known[1:-2] if one != 1]
    if len(apart) > 1:
        if stated and stated == known[-3]:
            return keras.ops.reshape(maps, [-1, stated, queries, keys])  # windows are samples
        is_all = None not in apart and stated == math.prod(one for one in apart if one)
        if not is_all and not shares_keys:
            raise UnclearError(_WINDOWS_OR_HEADS)
    return keras.ops.reshape(maps, [lead[0], heads, queries, keys])


def puts_heads_first(operation: Operation, known: Sequence[Any], heads: int | None) -> bool:
    """Whether samples and heads are one axis of what an operation makes, heads the outer ones.

    ``known``: whether they are so in its inputs.
    """
    inputs, output = operation.inputs, operation.outputs[0]
    if rank(output) != 3 or not heads or heads == 1:
        return False
    if operation.type == "ConcatV2":
        axis = static_value(inputs[-1])
        return axis is not None and int(axis) in (0, -3) and len(inputs) - 1 == heads
    if operation.type == "Reshape" and rank(inputs[0]) == 4:
        first, second, *last = operation.attributes.get("before", known_shape(inputs[0]))
        return bool(first == heads != second and last == known_shape(output)[1:])
    if operation.type == "Transpose":
        order = static_value(inputs[1])
        return bool(known[0]) and order is not None and int(order[0]) == 0
    return operation.type in _CELLWISE and any(known)


def _shares_keys(scores: Scores) -> bool:
    """Whether heads share keys, in groups or all of them."""
    keys = scores.keys
    return keys.rank < scores.queries.rank or 1 in known_shape(keys.tensor)[1:-2]
