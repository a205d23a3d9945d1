"""Which layers of the student learn from which layers of the teacher."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from amad_core.training.layers import Layers, layer_pairs

KINDS = ("self", "cross")

_PARTS = ("encoder", "decoder", "vision", "vit", "text", "language", "visual", "audio")
"""Words in a path by which parts of a model are told apart."""


class Selection(NamedTuple):
    """What is compared with what; see ``AttentionDistillation``."""

    layers: Layers
    teacher_layers: tuple[str, ...] | None
    student_layers: tuple[str, ...] | None
    kinds: tuple[str, ...]


class Pair(NamedTuple):
    """A student layer, and the teacher layer that it learns from."""

    teacher: Any
    student: Any

    @property
    def name(self) -> str:
        """Who learns from whom, for errors."""
        return f"{self.student.path} <- {self.teacher.path}"


def matched_layers(
    teacher: Sequence[Any], student: Sequence[Any], selection: Selection
) -> list[Pair]:
    """Every pair of layers, in the order of the student's calls within each kind and part.

    Self- and cross-attention are paired apart; so are the parts of a model (encoder and decoder,
    vision and text) where no layers are named and both models have them.

    Raises:
        ValueError: a name that fits no layer, nothing that both models have, pairs of layers where
            several parts or kinds would be paired by them.
    """
    both = (
        _named("teacher", teacher, selection.teacher_layers),
        _named("student", student, selection.student_layers),
    )
    unnamed = selection.teacher_layers is None and selection.student_layers is None
    shared = {_part(one.path) for one in both[0]} & {_part(one.path) for one in both[1]}
    apart = unnamed and len(shared) > 1
    groups: dict[tuple[str, str], tuple[list[Any], list[Any]]] = {}
    for side, layers in enumerate(both):
        for layer in layers:
            if layer.kind in selection.kinds:
                key = (layer.kind, _part(layer.path) if apart else "")
                groups.setdefault(key, ([], []))[side].append(layer)
    common = {key: group for key, group in groups.items() if group[0] and group[1]}
    if not common:
        raise ValueError(
            f"teacher and student have no attention of the kinds {', '.join(selection.kinds)} in "
            f"common; the teacher has {_listed(both[0])}, the student {_listed(both[1])}"
        )
    if len(common) > 1 and not isinstance(selection.layers, str):
        raise ValueError(
            "layers as pairs are for one part and one kind of attention; got them for "
            f"{', '.join(' '.join(key).strip() for key in common)}: give kinds=, teacher_layers= "
            "and student_layers=, with an AttentionDistillation for each"
        )
    return [pair for group in common.values() for pair in _paired(selection.layers, *group)]


def _paired(layers: Layers, teacher: list[Any], student: list[Any]) -> list[Pair]:
    pairs = layer_pairs(layers, teacher_layers=len(teacher), student_layers=len(student))
    return [Pair(teacher[pair.teacher], student[pair.student]) for pair in pairs]


def _named(side: str, layers: Sequence[Any], names: tuple[str, ...] | None) -> list[Any]:
    if names is None:
        return list(layers)
    found: list[Any] = []
    for name in names:
        fits = [layer for layer in layers if _fits(layer.path, name)]
        if not fits:
            raise ValueError(
                f"{side}_layers must name layers of the {side} that attend; none fits {name!r}, "
                f"there are {_listed(layers)}"
            )
        found += [layer for layer in fits if all(layer is not other for other in found)]
    return found


def _fits(path: str, name: str) -> bool:
    """A path, the names that it begins or ends with, or a glob."""
    beginning, end = path.startswith(f"{name}/"), path.endswith(f"/{name}")
    return path == name or beginning or end or fnmatchcase(path, name)


def _listed(layers: Sequence[Any]) -> str:
    shown = ", ".join(f"{layer.path!r} ({layer.kind})" for layer in layers[:6])
    return (shown or "none") + (", ..." if len(layers) > 6 else "")


def _part(path: str) -> str:
    """The first word in a path that names a part of a model, such as ``decoder``."""
    for name in path.split("/"):
        for part in _PARTS:
            if part in name:
                return part
    return ""
