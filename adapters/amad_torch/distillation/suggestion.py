"""What was measured of a teacher and a student, and the settings that follow from it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from amad_torch.distillation.match import AttentionMatch
from amad_torch.distillation.measurements import AnyDistiller, Evenness, PartLayers, PartOfLoss

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Suggestion:
    """Settings to start from, each with its reason, and the measurements that they rest on.

    Attributes:
        layers: the layer map of each kind and part, pairs ``(teacher layer, student layer)``.
        temperature: τ of the softmax over student heads.
        attention_weight, output_weight, task_weight: with these the weighted gradients of the
            parts had equal norms on the batches that were measured.
        reasons: a sentence for each setting, by its name.
        parts, evenness, losses: the measurements.
        matches: the layer map, as ``Distiller`` takes it.
        batches: how many were measured.
    """

    layers: Mapping[str, list[tuple[int, int]]]
    temperature: float
    attention_weight: float
    output_weight: float
    task_weight: float
    reasons: Mapping[str, str]
    parts: list[PartLayers]
    evenness: list[Evenness]
    losses: list[PartOfLoss]
    matches: list[AttentionMatch]
    batches: int

    @property
    def settings(self) -> dict[str, Any]:
        """For ``Distiller(teacher=..., student=..., **suggestion.settings)``."""
        names = ("matches", "temperature", "attention_weight", "output_weight", "task_weight")
        return {name: getattr(self, name) for name in names}

    def apply(self, distiller: AnyDistiller) -> None:
        """Give a distiller these settings in place of its own.

        Raises:
            ValueError: it has learned parameters, which are those of the pairs that it compares.
        """
        if len(distiller.learned):
            raise ValueError(
                "a distiller with parameters of learned losses keeps its pairs of layers: make "
                "another, Distiller(teacher=..., student=..., example=..., **suggestion.settings)"
            )
        for name, value in self.settings.items():
            setattr(distiller, name, value)

    def as_json(self) -> dict[str, Any]:
        """Everything but ``matches``, which ``layers`` says, as ``json.dumps`` takes it."""
        kept = {name: getattr(self, name) for name in self.__dataclass_fields__}
        del kept["matches"]
        for name in ("parts", "evenness", "losses"):
            kept[name] = [asdict(one) for one in kept[name]]
        return kept | {"layers": dict(self.layers), "reasons": dict(self.reasons)}

    def plot(self, path: str | Path | None = None) -> "Figure":
        """Draw the measurements; with a path, also write them as a picture (PNG, SVG, PDF).

        Raises:
            ImportError: matplotlib is not installed.
        """
        from amad_torch.distillation.suggestion_picture import draw

        return draw(self.parts, self.evenness, self.losses, self.temperature, path)

    def __str__(self) -> str:
        lines = [f"A starting point, not a result; batches measured: {self.batches}"]
        for part in self.parts:
            lines += ["", *_layers_table(part)]
        lines += ["", "Alignment weights", "temperature   entropy / log Hs   largest weight"]
        lines += [
            f"{one.temperature:11g}   {one.entropy:16.3f}   {one.largest:14.3f}"
            for one in self.evenness
        ]
        lines += ["", "Part of the loss        value   gradient norm   weight   weighted norm"]
        lines += [
            f"{one.name:16}   {one.loss:10.4g}   {one.gradient_norm:13.4g}   {one.weight:6.3g}"
            f"   {one.weight * one.gradient_norm:13.4g}"
            for one in self.losses
        ]
        lines += [""]
        for name, reason in self.reasons.items():
            value = "" if name == "layers" else f" = {getattr(self, name):g}"
            lines.append(fill(f"{name}{value}: {reason}", 100, subsequent_indent="    "))
        return "\n".join(lines)


def _layers_table(part: PartLayers) -> list[str]:
    chosen = {student: teacher for teacher, student in part.pairs}
    head = "".join(f"{f'student {one}':>12}" for one in range(len(part.student)))
    lines = [
        f"Attention: {part.name} (correlation of layers; * suggested)",
        f"teacher{head}   heads   mean cosine   effective rank",
    ]
    for row in range(len(part.teacher)):
        cells = "".join(
            f"{likeness[row]:11.3f}{'*' if chosen.get(column) == row else ' '}"
            for column, likeness in enumerate(part.likeness)
        )
        lines.append(
            f"{row:7}{cells}   {part.heads[row]:5}   {part.mean_cosine[row]:11.3f}"
            f"   {part.effective_rank[row]:14.2f}"
        )
    return lines
