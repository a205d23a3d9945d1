"""Which layers of the student learn from which layers of the teacher."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from torch import Tensor

from amad_core.arguments.words import check_choice
from amad_core.training.layers import Layers, layer_pairs
from amad_torch.capture.captured import KINDS, CapturedAttention
from amad_torch.capture.layer_attention import LayerAttention
from amad_torch.distillation.methods import Method

GroupedLayers: TypeAlias = Layers | Sequence[tuple[Sequence[int], int]]
"""A layer map as in ``layer_pairs``, or pairs ``((teacher layers...), student layer)``."""

_PARTS = ("encoder", "decoder", "vision", "text", "language", "visual", "audio")
"""Words in a path by which parts of a model are told apart."""


@dataclass(frozen=True)
class AttentionMatch:
    """One part of the attention loss: these layers learn from those, by this method.

    Attributes:
        teacher, student: only attention at or below this path, or that matches it as a glob;
            ``None``: all.
        kind: ``"self"`` or ``"cross"``; ``None``: both, each compared with its own.
        layers: as in ``layer_pairs``; or pairs whose first entry names several teacher layers,
            ``[((0, 1), 0), ((2, 3), 1)]``, whose maps are averaged.
        method: as the distiller's; ``None``: that one.
        weight: of this part, at least 0.
        tokens: which tokens count: a boolean ``[B, L]``, or the name of such a batch entry; for
            queries and keys apart a pair ``(queries, keys)`` of those, either may be ``None``.
        options: further keywords of the method.

    Raises:
        TypeError, ValueError: an unknown kind, a negative weight.
    """

    teacher: str | None = None
    student: str | None = None
    kind: str | None = None
    layers: GroupedLayers = "uniform"
    method: Method | None = None
    weight: float = 1.0
    tokens: Tensor | str | tuple[Tensor | str | None, Tensor | str | None] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind is not None:
            check_choice("kind", self.kind, KINDS)
        if not self.weight >= 0:
            raise ValueError(f"weight must be at least 0; got {self.weight!r}")


class MatchedLayers(NamedTuple):
    """Teacher layers, one or several, and the student layer that learns from them."""

    teacher: tuple[LayerAttention, ...]
    student: LayerAttention
    match: AttentionMatch

    @property
    def name(self) -> str:
        """Who learns from whom, for errors and logs."""
        return f"{self.student.path} <- {', '.join(layer.path for layer in self.teacher)}"


def matched_layers(
    matches: Sequence[AttentionMatch], teacher: CapturedAttention, student: CapturedAttention
) -> list[MatchedLayers]:
    """Every pair of layers that the matches name, in order.

    Self- and cross-attention are compared apart; so are the parts of a model (encoder and decoder,
    vision and text) where a match names no path and both models have them.

    Raises:
        ValueError: a match that fits no attention of one of the models, or nothing that both have;
            pairs of layers where several parts or kinds would be paired by them.
    """
    found: list[MatchedLayers] = []
    for match in matches:
        groups = grouped_layers(match, teacher, student)
        if len(groups) > 1 and not isinstance(match.layers, str):
            raise ValueError(
                "layers as pairs are for one part and one kind of attention; got them for "
                f"{', '.join(' '.join(key).strip() for key in groups)}: name one part each, "
                "matches=[AttentionMatch(teacher=..., student=..., kind=..., layers=...), ...]"
            )
        for one, other in groups.values():
            found += _paired(match, one, other)
    return found


Group: TypeAlias = tuple[list[LayerAttention], list[LayerAttention]]


def grouped_layers(
    match: AttentionMatch, teacher: CapturedAttention, student: CapturedAttention
) -> dict[tuple[str, str], Group]:
    """Teacher's and student's layers by kind and part, of what both have."""
    both = (
        _layers_of("teacher", teacher, match.kind, match.teacher),
        _layers_of("student", student, match.kind, match.student),
    )
    apart = match.teacher is None and match.student is None
    shared = {_part(one.path) for one in both[0]} & {_part(one.path) for one in both[1]}
    apart = apart and len(shared) > 1
    groups: dict[tuple[str, str], Group] = {}
    for side, layers in enumerate(both):
        for layer in layers:
            part = _part(layer.path) if apart else ""
            groups.setdefault((layer.kind, part), ([], []))[side].append(layer)
    common = {key: group for key, group in groups.items() if group[0] and group[1]}
    if not common:
        raise ValueError(
            f"teacher and student have no attention in common for {match}; the teacher has "
            f"{_kinds(both[0])}, the student {_kinds(both[1])}"
        )
    return common


def _layers_of(
    side: str, attention: CapturedAttention, kind: str | None, under: str | None
) -> list[LayerAttention]:
    try:
        return attention.layers(kind=kind, under=under)
    except ValueError as error:
        asked = f"AttentionMatch({side}={under!r}, kind={kind!r})"
        raise ValueError(f"{asked} fits nothing of the {side}: {error}") from None


def _kinds(layers: Sequence[LayerAttention]) -> str:
    return ", ".join(f"{layer.path!r} ({layer.kind})" for layer in layers[:4])


def _paired(
    match: AttentionMatch, teacher: list[LayerAttention], student: list[LayerAttention]
) -> list[MatchedLayers]:
    pairs: list[tuple[Sequence[int], int]]
    if isinstance(match.layers, str):
        named = layer_pairs(match.layers, teacher_layers=len(teacher), student_layers=len(student))
        pairs = [((pair.teacher,), pair.student) for pair in named]
    else:
        pairs = [(_group(first), second) for first, second in match.layers]
        flat = [(one, second) for first, second in pairs for one in first]
        layer_pairs(flat, teacher_layers=len(teacher), student_layers=len(student))
    return [
        MatchedLayers(tuple(teacher[one] for one in first), student[second], match)
        for first, second in pairs
    ]


def _group(layers: int | Sequence[int]) -> Sequence[int]:
    return (layers,) if isinstance(layers, int) else tuple(layers)


def _part(path: str) -> str:
    """The first word of a path that names a part of a model, such as ``text_decoder``."""
    for name in path.split("."):
        if any(part in name for part in _PARTS):
            return name
    return ""
