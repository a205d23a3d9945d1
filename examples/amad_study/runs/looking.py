"""What records do not hold of a student: its alignment, and what it looks at in single pictures."""

import base64
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from amad_study.data.picture import Picture
from amad_study.models.batches import Batch, rows
from amad_study.models.workbench import Workbench
from amad_study.runs.cell import Cell
from amad_study.runs.methods import make_distiller
from amad_study.runs.student import bench_for, run_cell
from amad_torch import Distiller, capture_attention, measure_alignment

EXAMPLES = 6
_MEASURED = 256


class Onlooker:
    """Looks at the student of a cell before and after training, on test examples.

    Args:
        cell: whose student it is.
        temperature: of the alignment weights; by default the cell's.
        losses: methods by whose attention loss teacher and student are compared.

    Attributes:
        alignment: by time, `"before"` and `"after"`, AMAD's weights `[Ht][Hs]` by pair of layers.
        losses: by time and method, the loss of attention.
        examples: see `examples_seen`.
    """

    def __init__(
        self,
        cell: Cell,
        *,
        temperature: float | None = None,
        losses: tuple[str, ...] = (),
    ) -> None:
        self.cell, self.compared = cell, losses
        self.temperature = cell.temperature if temperature is None else temperature
        self.bench = bench_for(cell)
        split = self.bench.task.test
        self.data = self.bench.encode(split, split.examples[:_MEASURED])
        self.alignment: dict[str, dict[str, list[list[float]]]] = {}
        self.losses: dict[str, dict[str, float]] = {}
        self.examples: list[dict[str, Any]] = []

    def __call__(self, teacher: nn.Module, student: nn.Module, when: str) -> None:
        """As `run_cell` calls what watches."""

        def compared_by(method: str, **settings: Any) -> Distiller:
            return make_distiller(
                method,
                teacher=teacher,
                student=student,
                example=rows(self.data, slice(0, 1)),
                layers=self.cell.layers,
                **settings,
            )

        self.alignment[when] = measure_alignment(
            compared_by("amad-kl", temperature=self.temperature), [self.data]
        )
        with torch.no_grad():
            self.losses[when] = {
                method: float(compared_by(method)(**self.data)["attention"])
                for method in self.compared
            }
        if when == "after":
            self.examples = examples_seen(self.bench, teacher, student)


def look_at(cell: Cell, teachers: Path) -> dict[str, Any]:
    """The cell's student trained again: alignment before and after, and examples."""
    onlooker = Onlooker(cell)
    record = run_cell(cell, teachers, watch=onlooker)
    return {
        "key": cell.key,
        "family": cell.family,
        "task": cell.task,
        "method": cell.method,
        "seed": cell.seed,
        "score": record["scores"][record["main score"]],
        "alignment": onlooker.alignment,
        "examples": onlooker.examples,
    }


def examples_seen(bench: Workbench, teacher: nn.Module, student: nn.Module) -> list[dict[str, Any]]:
    """Some test examples, what both models say to them, and which regions they look at."""
    split = bench.task.test
    asked = split.examples[:EXAMPLES]
    data = bench.encode(split, asked)
    pictures = [split.picture(example) for example in asked]
    looks = {name: _looks(model, data) for name, model in _both(teacher, student)}
    said = {name: bench.say(model, split, asked) for name, model in _both(teacher, student)}
    return [
        {
            "text": example.source,
            "target": example.target,
            "side": picture.pixels.shape[0],
            "picture": _as_png(picture),
            "boxes": picture.boxes.tolist(),
            **{name: said[name][row] for name in said},
            **{
                f"{name} attention": looks[name][row, : len(picture.boxes)].tolist()
                for name in looks
            },
        }
        for row, (example, picture) in enumerate(zip(asked, pictures, strict=True))
    ]


def _both(teacher: nn.Module, student: nn.Module) -> list[tuple[str, nn.Module]]:
    return [("teacher", teacher), ("student", student)]


@torch.no_grad()
def _looks(model: nn.Module, data: Batch) -> torch.Tensor:
    """How the answer's first word attends to the regions: mean over layers and heads."""
    with capture_attention(model) as attention:
        model(**data)
    first = [maps.mean(dim=1)[:, 0] for maps in attention.maps(kind="cross")]
    return torch.stack(first).mean(dim=0)[:, data["input_ids"].shape[1] :]


def _as_png(picture: Picture) -> str:
    pixels = (255 * (1 - picture.pixels.clip(0, 1))).round().astype("uint8")
    stream = BytesIO()
    Image.fromarray(pixels.squeeze()).save(stream, format="PNG")
    return base64.b64encode(stream.getvalue()).decode()
