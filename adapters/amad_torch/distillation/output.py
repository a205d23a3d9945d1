"""What a distiller returns: the loss first, its parts after it."""

from collections import OrderedDict
from typing import Any

from torch import Tensor


class DistillationOutput(OrderedDict[str, Any]):
    """``loss`` first; then ``attention``, ``output``, ``task`` (before weighting) and ``logits``.

    A dictionary, so that every trainer takes it, with attributes and positions besides; what a
    model or its batch does not give is left out, and is ``None`` as an attribute.
    """

    loss: Tensor
    attention: Tensor | None
    output: Tensor | None
    task: Tensor | None
    logits: Tensor | None

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return super().__getitem__(name)
        if name in DistillationOutput.__annotations__:
            return None
        raise AttributeError(f"{type(self).__name__} has no {name!r}; it holds {list(self)}")

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, int | slice):
            return tuple(self.values())[key]
        return super().__getitem__(key)
