"""One student trained again, for what records do not hold: alignment, and what is looked at."""

import base64
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from amad_core.files import write_atomically
from amad_study.analysis.outlook import whole_plan
from amad_study.data.picture import Picture
from amad_study.models.batches import Batch, rows
from amad_study.models.heads import with_heads_in_order
from amad_study.models.workbench import Workbench
from amad_study.protocol.condition import SEEDS, score_of
from amad_study.runs.cell import Cell
from amad_study.runs.methods import make_distiller
from amad_study.runs.records import read_records
from amad_study.runs.student import bench_for, run_cell, teacher_of
from amad_torch import capture_attention, measure_alignment

EXAMPLES = 6
_MEASURED = 256
_FAMILY, _TASK, _METHOD = "vl-t5", "digit-questions", "amad-kl"


def look_at_one(folder: Path, *, quick: bool = False) -> str:
    """Train the first finished student of AMAD on the questions again, and keep a look at it.

    Returns:
        what was done, in a line.
    """
    records = read_records(folder)
    cell = _first(records, quick)
    if cell is None:
        return "No finished student of AMAD on the digit questions: nothing to look at yet."
    path = folder / "looks" / f"{cell.key}.json"
    if not path.exists():
        write_atomically(path, json.dumps(look_at(cell, folder / "teachers")) + "\n")
    return f"Looked at {cell.key}; 'amad study report {folder}' shows it."


def look_at(cell: Cell, teachers: Path) -> dict[str, Any]:
    """Alignment before and after, and for some test examples what both models look at."""
    bench = bench_for(cell)
    teacher = with_heads_in_order(teacher_of(cell, teachers), cell.seed)
    asked = bench.task.test.examples[:_MEASURED]
    data = bench.encode(bench.task.test, asked)
    alignment: dict[str, Any] = {}
    students: list[nn.Module] = []

    def watch(student: nn.Module, when: str) -> None:
        distiller = make_distiller(
            cell.method,
            teacher=teacher,
            student=student,
            example=rows(data, slice(0, 1)),
            temperature=cell.temperature,
            layers=cell.layers,
        )
        alignment[when] = measure_alignment(distiller, [data])
        students[:] = [student]

    record = run_cell(cell, teachers, watch=watch)
    return {
        "key": cell.key,
        "family": cell.family,
        "task": cell.task,
        "method": cell.method,
        "seed": cell.seed,
        "score": score_of(record),
        "alignment": alignment,
        "examples": _examples(bench, teacher, students[0]),
    }


def _first(records: dict[str, dict[str, Any]], quick: bool) -> Cell | None:
    for stage in whole_plan(records, quick=quick):
        for cell in stage.cells:
            usual = Cell(_FAMILY, _TASK, _METHOD, cell.seed, teacher_seed=cell.teacher_seed)
            counted = cell.seed in SEEDS and "scores" in records.get(cell.key, {})
            if counted and cell.as_json() == {**usual.as_json(), "weight": cell.weight}:
                return cell
    return None


def _examples(bench: Workbench, teacher: nn.Module, student: nn.Module) -> list[dict[str, Any]]:
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
