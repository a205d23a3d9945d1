"""What each axis of a tensor runs over, followed through transposes and changes of shape."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from amad_keras.capture.operation import Operation
from amad_keras.capture.products import letters
from amad_keras.capture.sources import static_value
from amad_keras.capture.tensors import Tensor, known_shape, rank

SAMPLES, HEADS, QUERIES, KEYS, WIDTH = "b", "hgi", "q", "k", "d"
"""Letters for what axes run over; heads may be several axes, the outermost first."""

_HEADS_OF_LAYERS = (
    "num_heads", "num_query_heads", "num_attention_heads", "n_heads", "n_head", "heads",
)  # fmt: skip
"""How layers call their number of heads, where samples and heads are one axis."""


@dataclass(frozen=True)
class Axes:
    """For each axis its letters, several where axes were joined, none where its length is 1.

    ``sizes``: how long each letter's axis is; ``None`` where a graph does not know.
    """

    names: tuple[str, ...]
    sizes: Mapping[str, int | None]

    @classmethod
    def of_maps(cls, maps: Tensor, layer: Any, order: Sequence[int]) -> "Axes | None":
        """Of probabilities as a softmax of this layer made them.

        ``order``: which of their axes each of ``[B, ..., Q, K]`` is.
        """
        found = cls._in_order([known_shape(maps)[axis] for axis in order], layer)
        return found and found._taken([list(order).index(axis) for axis in range(len(order))])

    @classmethod
    def _in_order(cls, shape: list[int | None], layer: Any) -> "Axes | None":
        lead = len(shape) - 2
        if not 0 < lead <= len(HEADS) + 1:
            return None
        names = (SAMPLES, *HEADS[: lead - 1], QUERIES, KEYS)
        sizes = dict(zip(names, shape, strict=True))
        if lead > 1:
            return cls(names, sizes)
        heads = heads_of(layer, shape[0])
        sizes |= {HEADS[0]: heads, SAMPLES: None if shape[0] is None else shape[0] // heads}
        return cls((SAMPLES + HEADS[0], QUERIES, KEYS), sizes)

    def lettered(self, name: str) -> str:
        """The letters of an axis but for those of length 1, which say nothing."""
        return "".join(letter for letter in name if self.sizes.get(letter) != 1)

    def length(self, name: str) -> int | None:
        """Of an axis of these letters; ``None``: not known."""
        sizes = [self.sizes[letter] for letter in name]
        return None if None in sizes else math.prod(size for size in sizes if size is not None)

    def after(self, operation: Operation, place: int) -> "Axes | None":
        """Those of the output; ``None`` where they cannot be followed."""
        given, output = operation.inputs[place], operation.outputs[0]
        if operation.type == "Transpose":
            order = static_value(operation.inputs[1])
            return None if order is None else self._taken(order.tolist())
        if operation.type in ("Reshape", "ExpandDims", "Squeeze"):
            return self._reshaped(known_shape(output))
        if operation.type == "Einsum":
            return self._mixed(operation, place)
        if rank(given) != rank(output):
            return None
        lengths = zip(self.names, known_shape(output), strict=True)
        return self._sized({name: length for name, length in lengths if len(name) == 1})

    def _taken(self, order: Sequence[int]) -> "Axes":
        return replace(self, names=tuple(self.names[axis] for axis in order))

    def _sized(self, sizes: Mapping[str, int | None]) -> "Axes":
        return replace(self, sizes={**self.sizes, **sizes})

    def _reshaped(self, shape: list[int | None]) -> "Axes | None":
        """Letters are dealt out from the last axis on, as many as make its length; those of one
        axis where a graph does not know it."""
        left = [name for name in map(self.lettered, self.names) if name]
        names: list[str] = []
        for length in reversed(shape[1:]):
            name = ""
            if length is None:
                name = left.pop() if left else ""
            while length is not None and length > 1 and left:
                size = self.sizes[left[-1][-1]]
                if size is None and name:
                    return None
                name = left[-1][-1] + name
                left[-1] = left[-1][:-1]
                left = left if left[-1] else left[:-1]
                length = 1 if size is None or length == size else _divided(length, size)
            if length is not None and length != 1:
                return None
            names.insert(0, name)
        return replace(self, names=("".join(left), *names))

    def _mixed(self, operation: Operation, place: int) -> "Axes | None":
        """Heads that are mixed by a matrix (talking heads) are as many heads."""
        parsed = letters(operation)
        if parsed is None:
            return None
        own, other, result = parsed[place], parsed[1 - place], parsed[2]
        by_letter = dict(zip(own, self.names, strict=True))
        summed = [letter for letter in own if letter not in result]
        new = [letter for letter in result if letter not in own]
        if len(summed) == len(new) == 1 and len(other) == 2 and by_letter[summed[0]] in HEADS:
            by_letter[new[0]] = by_letter[summed[0]]
        elif summed or new:
            return None
        return replace(self, names=tuple(by_letter[letter] for letter in result))


def stated_heads(layer: Any) -> int | None:
    """The number of heads that a layer says it has; ``None``: it does not say."""
    found = next((getattr(layer, name) for name in _HEADS_OF_LAYERS if hasattr(layer, name)), None)
    return found if isinstance(found, int) and found > 0 else None


def heads_of(layer: Any, together: int | None) -> int:
    """The number of heads of a layer whose samples and heads are one axis of this length."""
    found = stated_heads(layer) or 1
    return found if together is None or together % found == 0 else 1


def _divided(length: int, by: int) -> int | None:
    return length // by if length % by == 0 else 0
