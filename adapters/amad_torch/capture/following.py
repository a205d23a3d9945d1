"""Tensors that are followed from one function to the next, for as long as they live."""

from typing import Any
from weakref import ref

from torch import Tensor


class Followed:
    """What is known of tensors; it keeps none of them alive."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, Any]] = {}

    def __bool__(self) -> bool:
        return bool(self._known)

    def remember(self, tensor: Tensor, what: Any) -> None:
        """This is known of a tensor from now on."""
        key, known = id(tensor), self._known
        known[key] = (ref(tensor, lambda _: known.pop(key, None)), what)

    def forget(self, tensor: Tensor) -> None:
        """Nothing is known of a tensor any more."""
        self._known.pop(id(tensor), None)

    def known(self, tensor: Tensor) -> Any:
        """What is known of a tensor, or ``None``."""
        found = self._known.get(id(tensor))
        return found[1] if found is not None and found[0]() is tensor else None
