"""Every layer of the teacher against every layer of the student, added up over batches."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor

from amad_core.training.layers import layer_pairs
from amad_torch.capture.captured import CapturedAttention
from amad_torch.capture.capturing import capture_attention
from amad_torch.capture.layer_attention import LayerAttention
from amad_torch.distillation.cells import counted_cells
from amad_torch.distillation.likeness import (
    effective_rank,
    evenness,
    head_cosines,
    layer_likeness,
    mean_cosine,
)
from amad_torch.distillation.match import AttentionMatch, Group, grouped_layers
from amad_torch.distillation.measurements import AnyDistiller, Evenness, PartLayers
from amad_torch.distillation.teaching import attention_of, check_stored_cells
from amad_torch.padding import has_decoder

TEMPERATURES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""At which the evenness of the alignment weights is measured."""

CLEARLY_MORE = 0.1
"""By how much a layer must be more alike than that of the uniform map to be suggested instead."""


@dataclass
class _Sums:
    """Of one kind and part."""

    match: AttentionMatch
    paths: tuple[list[str], list[str]]
    heads: list[int]
    tables: dict[str, Tensor] = field(default_factory=dict)

    def add(self, name: str, values: list[Any]) -> None:
        table = torch.tensor(values, dtype=torch.float64)
        self.tables[name] = self.tables[name] + table if name in self.tables else table


class MeasuredLayers:
    """What the heads and layers are like; no more than sums are kept of a batch."""

    def __init__(self, distiller: AnyDistiller) -> None:
        self._distiller, self._batches = distiller, 0
        self._sums: dict[str, _Sums] = {}

    @torch.no_grad()
    def add(self, batch: Mapping[str, Any]) -> None:
        """Run both models on a batch.

        Raises:
            ValueError: nothing to compare, lengths that differ, or layers that are not those of the
                batches before.
        """
        with capture_attention(self._distiller.student) as student:
            self._distiller.student(**self._distiller.student_takes(batch))
        teacher = attention_of(self._distiller.teacher, batch)
        behind_encoder = has_decoder(student.values())
        self._batches += 1
        several = len(self._distiller.matches) > 1
        for number, match in enumerate(self._distiller.matches):
            for (kind, part), group in grouped_layers(match, teacher, student).items():
                name = f"{kind} {part}".strip() + (f" (match {number})" if several else "")
                narrowed = _narrowed(match, kind, group, teacher, student)
                first, second = ([layer.path for layer in side] for side in group)
                heads = [layer.shape[1] for layer in group[0]]
                sums = self._sums.setdefault(name, _Sums(narrowed, (first, second), heads))
                if sums.paths != (first, second):
                    raise ValueError(
                        f"batches must run the same layers; {name} had {sums.paths}, then "
                        f"{(first, second)}"
                    )
                self._measure(sums, group, batch, behind_encoder)

    def _measure(
        self, sums: _Sums, group: Group, batch: Mapping[str, Any], behind_encoder: bool
    ) -> None:
        likeness, even = [], []
        lengths = self._distiller.lengths
        own: list[Tensor] = []
        for learner in group[1]:
            check_stored_cells(group[0], learner, batch, behind_encoder)
            mask = lengths.cut(counted_cells(learner, sums.match, batch, behind_encoder))
            likeness_row, even_row = [], []
            for layer in group[0]:
                name = f"{learner.path} <- {layer.path}"
                teacher, student = lengths.fitted(layer.maps.to(learner.device), learner.maps, name)
                if mask is not None:
                    mask = mask.to(learner.device)
                likeness_row.append(layer_likeness(teacher, student, mask))
                cosines = head_cosines(teacher, student, mask)
                even_row.append([evenness(cosines, one) for one in TEMPERATURES])
                if learner is group[1][0]:
                    own.append(head_cosines(teacher, teacher, mask))
            likeness.append(likeness_row)
            even.append(even_row)
        if not torch.tensor(likeness).isfinite().all():
            raise ValueError(
                f"attention must be finite; got NaN or infinity among {', '.join(sums.paths[0])} "
                f"or {', '.join(sums.paths[1])}: mend the batch or the models first"
            )
        sums.add("likeness", likeness)
        sums.add("evenness", even)
        sums.add("mean_cosine", [mean_cosine(one) for one in own])
        sums.add("effective_rank", [effective_rank(one) for one in own])

    def parts(self) -> list[PartLayers]:
        """The means over batches, and the layer map that follows."""
        return [
            PartLayers(
                name=name,
                teacher=sums.paths[0],
                student=sums.paths[1],
                likeness=self._mean(sums, "likeness").tolist(),
                mean_cosine=self._mean(sums, "mean_cosine").tolist(),
                effective_rank=self._mean(sums, "effective_rank").tolist(),
                heads=sums.heads,
                pairs=_pairs(self._mean(sums, "likeness")),
            )
            for name, sums in self._sums.items()
        ]

    def matches(self) -> list[AttentionMatch]:
        """The distiller's, one for each kind and part, with the layer maps."""
        return [
            replace(sums.match, layers=part.pairs)
            for sums, part in zip(self._sums.values(), self.parts(), strict=True)
        ]

    def evenness(self) -> list[Evenness]:
        """The mean over the pairs of layers that are suggested."""
        chosen = torch.stack(
            [
                self._mean(self._sums[part.name], "evenness")[student, teacher]
                for part in self.parts()
                for teacher, student in part.pairs
            ]
        ).mean(dim=0)
        return [
            Evenness(temperature, *values)
            for temperature, values in zip(TEMPERATURES, chosen.tolist(), strict=True)
        ]

    def reason(self) -> str:
        """Why these layers."""
        return " ".join(_reason(part) for part in self.parts()) + (
            " An untrained student's likeness says little of what it can learn."
        )

    def heads_reason(self) -> str:
        """What the teacher's heads leave to choose."""
        said = ", ".join(
            f"{part.effective_rank[teacher]:.1f} of {part.heads[teacher]}"
            for part in self.parts()
            for teacher in sorted({teacher for teacher, _ in part.pairs})
        )
        return f"The effective rank of the teacher's heads is {said} in the layers suggested."

    def _mean(self, sums: _Sums, name: str) -> Tensor:
        return sums.tables[name] / self._batches


def _pairs(likeness: Tensor) -> list[tuple[int, int]]:
    """The layer most alike where it is so clearly, else that of the uniform map."""
    students, teachers = likeness.shape
    uniform = layer_pairs("uniform", teacher_layers=teachers, student_layers=students)
    pairs = []
    for teacher, student in uniform:
        row = likeness[student]
        best = int(row.argmax())
        pairs.append((best if row[best] - row[teacher] >= CLEARLY_MORE else teacher, student))
    return pairs


def _reason(part: PartLayers) -> str:
    depths = {"teacher_layers": len(part.teacher), "student_layers": len(part.student)}
    uniform = {student: teacher for teacher, student in layer_pairs("uniform", **depths)}
    said = []
    for teacher, student in part.pairs:
        found, usual = part.likeness[student], uniform[student]
        if teacher != usual:
            why = f"most like it, {found[teacher]:.2f} to {found[usual]:.2f} of the uniform map's"
        else:
            why = f"the uniform map's, {found[teacher]:.2f}, and none is clearly more alike"
        said.append(f"student {student} from teacher {teacher} ({why})")
    return f"{part.name}: {', '.join(said)}."


def _narrowed(
    match: AttentionMatch,
    kind: str,
    group: Group,
    teacher: CapturedAttention,
    student: CapturedAttention,
) -> AttentionMatch:
    """The match that finds this group alone, so that pairs of its layers can be said."""
    return replace(
        match,
        kind=kind,
        teacher=_under(match.teacher, kind, group[0], teacher),
        student=_under(match.student, kind, group[1], student),
    )


def _under(
    given: str | None, kind: str, layers: list[LayerAttention], captured: CapturedAttention
) -> str | None:
    """A path or glob that holds these layers and no others of their kind."""
    same: Callable[[str | None], bool] = lambda under: (  # noqa: E731
        captured.layers(kind=kind, under=under) == layers
    )
    if same(given):
        return given
    paths = [layer.path.split("#")[0].split(".") for layer in layers]
    common = takewhile(lambda names: len(set(names)) == 1, zip(*paths, strict=False))
    shared = ".".join(names[0] for names in common)
    if not shared or not same(shared):
        raise ValueError(
            f"no one path holds {', '.join(layer.path for layer in layers)} alone: name the parts, "
            "matches=[AttentionMatch(teacher=..., student=..., kind=...), ...]"
        )
    return shared
