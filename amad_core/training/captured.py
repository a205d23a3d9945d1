"""What was captured of a model while it ran: layers by their paths, for every framework.

Standard library only: the adapters say what a layer and its maps are.
"""

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Generic, Protocol, TypeVar

KINDS = ("self", "cross")

Maps = TypeVar("Maps")


class Attending(Protocol):
    """What every adapter knows of a layer that attended to something."""

    @property
    def maps(self) -> Any:
        """``[B, H, Q, K]``."""

    path: str
    kind: str


Layer = TypeVar("Layer", bound=Attending)


class Captured(Mapping[str, Layer], Generic[Layer, Maps]):
    """Path of a layer to what it attended to, in the order of the calls.

    Args:
        layers: what there is already.
    """

    separator: ClassVar[str]
    """What joins the names in a path."""

    def __init__(self, layers: Mapping[str, Layer] | None = None) -> None:
        self._layers: dict[str, Layer] = dict(layers or {})

    def __getitem__(self, path: str) -> Layer:
        if path not in self._layers:
            known = ", ".join(map(repr, list(self._layers)[:6])) or "nothing"
            raise KeyError(f"{path!r} has no attention here; captured were {known}")
        return self._layers[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def layers(self, *, kind: str | None = None, under: str | None = None) -> list[Layer]:
        """Layers in the order of their calls.

        Args:
            kind: ``"self"`` or ``"cross"``; ``None``: both.
            under: only of layers at this path or below it, or that match it as a glob
                (``"*layer.3.*"`` in PyTorch, ``"*/block_3/*"`` in Keras).

        Raises:
            ValueError: an unknown kind, or nothing is left.
        """
        if kind is not None and kind not in KINDS:
            raise ValueError(f"kind must be 'self', 'cross' or None; got {kind!r}")
        found = [
            layer
            for layer in self._layers.values()
            if (kind is None or layer.kind == kind)
            and (under is None or self.matches(layer.path, under))
        ]
        if not found:
            asked = ", ".join(
                f"{name}={value!r}"
                for name, value in (("kind", kind), ("under", under))
                if value is not None
            )
            known = ", ".join(f"{one.path!r} ({one.kind})" for one in self._layers.values())
            raise ValueError(f"no attention with {asked or 'anything'}; captured were {known}")
        return found

    def maps(self, *, kind: str | None = None, under: str | None = None) -> list[Maps]:
        """The maps ``[B, H, Q, K]`` of :meth:`layers`, in order."""
        return [layer.maps for layer in self.layers(kind=kind, under=under)]

    @classmethod
    def matches(cls, path: str, pattern: str) -> bool:
        """Whether a pattern names this path or one above it, or is a glob that fits it.

        The number of a layer's further run, ``path#2``, is no part of its path.
        """
        path = re.sub(r"#\d+$", "", path)
        is_below = path.startswith(f"{pattern}{cls.separator}")
        return fnmatchcase(path, pattern) or path == pattern or is_below

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._layers))})"
