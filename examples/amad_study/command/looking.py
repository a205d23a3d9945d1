"""One student trained again, for what records do not hold: alignment, and what is looked at."""

import json
from pathlib import Path
from typing import Any

from amad_core.files import write_atomically
from amad_study.analysis.outlook import whole_plan
from amad_study.protocol.condition import SEEDS
from amad_study.runs.cell import Cell
from amad_study.runs.looking import look_at
from amad_study.runs.records import read_records

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


def _first(records: dict[str, dict[str, Any]], quick: bool) -> Cell | None:
    for stage in whole_plan(records, quick=quick):
        for cell in stage.cells:
            usual = Cell(_FAMILY, _TASK, _METHOD, cell.seed, teacher_seed=cell.teacher_seed)
            counted = cell.seed in SEEDS and "scores" in records.get(cell.key, {})
            if counted and cell.as_json() == {**usual.as_json(), "weight": cell.weight}:
                return cell
    return None
