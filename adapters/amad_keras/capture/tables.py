"""What is known of tensors, for as long as each lives."""

import weakref
from typing import Any

from amad_keras.capture.tensors import Tensor


class Table:
    """Tensors to anything; an entry goes with its tensor."""

    def __init__(self) -> None:
        self._entries: dict[int, tuple[Any, Any]] = {}

    def __getitem__(self, tensor: Tensor) -> Any:
        entry = self._entries.get(id(tensor))
        return None if entry is None or entry[0]() is not tensor else entry[1]

    def __setitem__(self, tensor: Tensor, value: Any) -> None:
        key, entries = id(tensor), self._entries
        entries[key] = (weakref.ref(tensor, lambda _: entries.pop(key, None)), value)

    def take(self, tensor: Tensor) -> Any:
        """What is known of a tensor, which is forgotten."""
        known = self[tensor]
        self._entries.pop(id(tensor), None)
        return known

    def forget(self) -> None:
        """All of it."""
        self._entries.clear()

    @property
    def is_held(self) -> bool:
        """Whether anything is known of any tensor."""
        return bool(self._entries)
