"""What was captured: every layer's attention by its path."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from torch import Tensor

from amad_torch.capture.layer_attention import LayerAttention

KINDS = ("self", "cross")


class CapturedAttention(Mapping[str, LayerAttention]):
    """Module path to what the module attended to, in the order of the calls."""

    def __init__(self, layers: Mapping[str, LayerAttention] | None = None) -> None:
        self._layers: dict[str, LayerAttention] = dict(layers or {})

    def __getitem__(self, path: str) -> LayerAttention:
        if path not in self._layers:
            known = ", ".join(map(repr, list(self._layers)[:6])) or "nothing"
            raise KeyError(f"{path!r} has no attention here; captured were {known}")
        return self._layers[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def layers(self, *, kind: str | None = None, under: str | None = None) -> list[LayerAttention]:
        """Layers in the order of their calls.

        Args:
            kind: ``"self"`` or ``"cross"``; ``None``: both.
            under: only of modules at this path or below it, or that match it as a glob
                (``"*.layer.3.*"``).

        Raises:
            ValueError: an unknown kind, or nothing is left.
        """
        if kind is not None and kind not in KINDS:
            raise ValueError(f"kind must be 'self', 'cross' or None; got {kind!r}")
        found = [
            layer
            for layer in self._layers.values()
            if (kind is None or layer.kind == kind)
            and (under is None or matches_path(layer.path, under))
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

    def maps(self, *, kind: str | None = None, under: str | None = None) -> list[Tensor]:
        """The maps ``[B, H, Q, K]`` of :meth:`layers`, in order."""
        return [layer.maps for layer in self.layers(kind=kind, under=under)]

    def __repr__(self) -> str:
        return f"CapturedAttention({', '.join(map(repr, self._layers))})"


def matches_path(path: str, pattern: str) -> bool:
    """Whether a pattern names this path, one above it, or is a glob that fits it."""
    path = path.split("#")[0]
    return fnmatchcase(path, pattern) or path == pattern or path.startswith(f"{pattern}.")
