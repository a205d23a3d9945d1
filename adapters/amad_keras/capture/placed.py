"""What meets scores on their way to a softmax: masks and biases."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras

from amad_keras.capture.later import Later
from amad_keras.capture.sources import is_symbolic
from amad_keras.capture.tensors import Tensor, known_shape, lengths

LARGEST_DROPPED = -1e4
"""An additive mask holds this or less where a key is dropped."""


@dataclass(frozen=True)
class Placed:
    """A mask or bias, and the scores that it met: their shape, or in a graph they themselves.

    ``number``: what it holds throughout, where that is known.
    """

    values: Later
    scores: Any
    number: float | None = None

    def times(self, factor: float) -> "Placed":
        """The same, multiplied along with the scores that it was added to."""
        number = None if self.number is None else self.number * factor
        return replace(self, values=self.values.then(lambda one: one * factor), number=number)

    def transposed(self, order: Sequence[int]) -> "Placed":
        """The same where the scores' axes are taken in another order."""
        static = self.scores if isinstance(self.scores, list) else known_shape(self.scores)
        ones = [1] * (len(static) - self.values.rank)
        values = self.values
        if ones:
            whole = values.then(lambda one: keras.ops.reshape(one, (*ones, *lengths(one))))
            values = replace(whole, rank=len(static))
        return Placed(values.transposed(list(order)), [static[axis] for axis in order], self.number)

    def read(self, maps: Tensor) -> Tensor:
        """Broadcastable to the maps ``[B, H, Q, K]``."""
        met, values = self.scores, self.values.read()
        static = met if isinstance(met, list) else known_shape(met)
        ones = [1] * (len(static) - len(values.shape))
        values = keras.ops.reshape(values, (*ones, *lengths(values)))
        if _may_be_same(static, known_shape(maps)):
            return values
        if len(static) == 5 and values.shape[1] == values.shape[2] == 1:
            heads = static[2] if static[1] is None else static[1] * (static[2] or 1)
            if values.shape[0] == 1 or maps.shape[1] == heads:  # no windows among the samples
                return values[:, 0]
        whole = met if isinstance(met, list) else lengths(met)
        return keras.ops.reshape(keras.ops.broadcast_to(values, whole), lengths(maps))


def mask_and_bias(given: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """What a model adds to its scores: the keys that are seen, and a bias.

    Both in a graph, which cannot tell whether there are any.
    """
    ops = keras.ops
    seen = given > ops.cast(LARGEST_DROPPED, given.dtype)
    bias = ops.where(seen, given, ops.zeros_like(given))
    if is_symbolic(given):
        return seen, bias
    return None if bool(ops.all(seen)) else seen, bias if bool(ops.any(bias != 0)) else None


def _may_be_same(one: list[int | None], other: list[int | None]) -> bool:
    """Whether shapes agree as far as they are known."""
    both = zip(one, other, strict=False)
    return len(one) == len(other) and all(a == b or None in (a, b) for a, b in both)
