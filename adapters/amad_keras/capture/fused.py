"""Attention in one operation, whose maps are never built: what they follow from."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import keras

from amad_keras.capture.axes import HEADS, QUERIES, SAMPLES, WIDTH, Axes
from amad_keras.capture.later import Later
from amad_keras.capture.layer_attention import Attended
from amad_keras.capture.operation import Operation, attribute
from amad_keras.capture.placed import mask_and_bias
from amad_keras.capture.repeats import Repeat
from amad_keras.capture.tensors import Tensor, is_floating, known_shape, lengths
from amad_keras.capture.values import every


@dataclass(frozen=True)
class Fused:
    """Queries, keys and values ``[B, H, L, d]`` of a fused operation, and what it was told.

    Attributes:
        mask: boolean, true where a key is seen; or added to the scores, where it holds numbers.
        bias: added to the scores.
        is_causal: whether queries see keys up to their own place.
    """

    queries: Later
    keys: Later
    values: Later
    scale: float | Tensor
    mask: Tensor | None
    bias: Tensor | None
    is_causal: bool

    @classmethod
    def of(cls, operation: Operation, repeats: Sequence[Repeat | None]) -> "Fused":
        """From an operation whose inputs are queries, keys and values.

        Its attribute ``heads`` is the axis of heads, counted from the end. ``repeats``: what is
        known of repeated heads in each input.
        """
        queries, keys, values = (
            _by_heads(one, repeat, operation.attributes["heads"])
            for one, repeat in zip(operation.inputs, repeats, strict=True)
        )
        scale = attribute(operation, "scale")
        if scale is None:
            scale = int(operation.inputs[0].shape[-1]) ** -0.5
        mask, bias = (attribute(operation, name) for name in ("mask", "bias"))
        is_causal = bool(attribute(operation, "is_causal"))
        return cls(queries, keys, values, scale, mask, bias, is_causal)

    def read(self, maps: Tensor | None = None) -> Attended:
        """What the maps follow from."""
        queries, keys = (_of_four_axes(one.read()) for one in (self.queries, self.keys))
        mask, bias = None, None
        if self.bias is not None:
            mask, bias = mask_and_bias(_of_four_axes(self.bias))
        if self.mask is not None and is_floating(self.mask):
            mask, bias = mask_and_bias(_of_four_axes(self.mask))
        elif self.mask is not None:
            seen = keras.ops.cast(_of_four_axes(self.mask), "bool")
            mask = seen if mask is None else keras.ops.logical_and(mask, seen)
        if self.is_causal:
            rows, columns = lengths(queries)[2], lengths(keys)[2]
            order = keras.ops.tril(keras.ops.ones((1, 1, rows, columns), dtype="bool"))
            mask = order if mask is None else keras.ops.logical_and(mask, order)
        return Attended(queries, keys, self.scale, mask, bias)


def axes_of_outputs(operation: Operation) -> Axes | None:
    """What the axes of the output run over; ``None`` of one without heads."""
    if len(operation.outputs[0].shape) != 4:
        return None
    names = (SAMPLES, HEADS[0], QUERIES, WIDTH)
    if operation.attributes["heads"] == -2:
        names = (SAMPLES, QUERIES, HEADS[0], WIDTH)
    sizes = dict(zip(names, known_shape(operation.outputs[0]), strict=True))
    return Axes(names, sizes)


def _by_heads(vectors: Tensor, repeat: Repeat | None, heads: int) -> Later:
    """``[B, H, L, d]``, of grouped heads each once."""
    found = Later(vectors, len(vectors.shape))
    if heads == -2:
        found = found.transposed([0, 2, 1, 3])
    if repeat is not None and repeat.axis == len(vectors.shape) + heads:
        found = found.then(partial(every, repeat.times))
    return found


def _of_four_axes(one: Tensor) -> Tensor:
    """``[B, H, L, d]``, also of what has fewer axes."""
    if len(one.shape) == 3:
        return keras.ops.expand_dims(one, 1)
    return keras.ops.reshape(one, (*[1] * (4 - len(one.shape)), *lengths(one)))
