"""What was captured: layers by their paths."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from amad_keras.capture.layer_attention import LayerAttention
from amad_keras.capture.tensors import Tensor, as_written

KINDS = ("self", "cross")


class CapturedAttention(Mapping[str, LayerAttention]):
    """Path of a layer to what it attended to, in the order of the calls."""

    def __init__(self) -> None:
        self._layers: dict[str, LayerAttention] = {}

    def __getitem__(self, path: str) -> LayerAttention:
        if path not in self._layers:
            known = ", ".join(map(repr, list(self._layers)[:6])) or "nothing"
            raise KeyError(f"{path!r} has no attention here; captured were {known}")
        return self._layers[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    @as_written
    def layers(self, *, kind: str | None = None, under: str | None = None) -> list[LayerAttention]:
        """Layers in the order of their calls.

        Args:
            kind: ``"self"`` or ``"cross"``; ``None``: both.
            under: only of layers at this path or below it, or that match it as a glob
                (``"*/block_3/*"``).

        Raises:
            ValueError: an unknown kind, or nothing is left.
        """
        if kind is not None and kind not in KINDS:
            raise ValueError(f"kind must be 'self', 'cross' or None; got {kind!r}")
        found = [
            layer
            for layer in self._layers.values()
            if (kind is None or layer.kind == kind)
            and (under is None or matches(layer.path, under))
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

    @as_written
    def maps(self, *, kind: str | None = None, under: str | None = None) -> list[Tensor]:
        """The maps ``[B, H, Q, K]`` of :meth:`layers`, in order."""
        return [layer.maps for layer in self.layers(kind=kind, under=under)]

    def __repr__(self) -> str:
        return f"CapturedAttention({', '.join(map(repr, self._layers))})"


def matches(path: str, pattern: str) -> bool:
    """Whether a path is, lies below, or as a glob looks like what is asked for."""
    return fnmatchcase(path, pattern) or path == pattern or path.startswith(f"{pattern}/")
