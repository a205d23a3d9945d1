"""Tensors that are made only when they are asked for."""

from collections.abc import Callable
from dataclasses import dataclass

import keras

from amad_keras.capture.tensors import Tensor


@dataclass(frozen=True)
class Later:
    """A tensor, its number of axes, and what is done to it when it is asked for."""

    tensor: Tensor
    rank: int
    make: Callable[[Tensor], Tensor] | None = None

    def read(self) -> Tensor:
        """Now."""
        return self.tensor if self.make is None else self.make(self.tensor)

    def then(self, further: Callable[[Tensor], Tensor]) -> "Later":
        """The same with a further step, which keeps the axes."""
        made = self.read
        return Later(self.tensor, self.rank, lambda _: further(made()))

    def transposed(self, order: list[int]) -> "Later":
        """The same with its axes in another order."""
        if order == sorted(order):
            return self
        made = self.read
        return Later(self.tensor, len(order), lambda _: keras.ops.transpose(made(), order))
