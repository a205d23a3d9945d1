"""A cell run again, and held against what was recorded."""

import json
import tempfile
from pathlib import Path
from typing import Any

from amad_study.protocol.condition import score_of
from amad_study.runs.cell import Cell
from amad_study.runs.circumstances import machine, teacher_facts, versions
from amad_study.runs.records import DamagedRecordError, read_record
from amad_study.runs.student import run_cell

COMPARED = ("scores", "curve", "parity", "heads", "loss")


def compare_again(
    path: Path, folder: Path | None, fresh_teacher: bool, within: float, json_output: bool
) -> bool:
    """Run the cell of a record again; whether it came out the same, or near enough.

    Raises:
        DamagedRecordError: the file is no record, or there was no student to be judged.
    """
    record = read_record(path)
    if "scores" not in record:
        why = record.get("refused") or record.get("diverged")
        raise DamagedRecordError(f"{path} has no scores to compare with: {why}")
    cell = Cell.from_json(record["cell"])
    if fresh_teacher:
        with tempfile.TemporaryDirectory() as temporary:
            found = comparison(record, cell, Path(temporary))
    else:
        beside = path.resolve().parent
        home = folder or (beside.parent if beside.name == "cells" else beside)
        found = comparison(record, cell, home / "teachers")
    near = abs(found["again"] - found["recorded"]) <= within
    if json_output:
        print(json.dumps(found, indent=1))
    else:
        _say(found, within)
    return bool(found["same"]) or (within > 0 and near)


def comparison(record: dict[str, Any], cell: Cell, teachers: Path) -> dict[str, Any]:
    """What came out before and now, what differs, and what is different about the run."""
    again = json.loads(json.dumps(run_cell(cell, teachers)))
    run = record.get("run", {})
    return {
        "key": cell.key,
        "recorded": score_of(record),
        "again": score_of(again),
        "same": all(record[name] == again[name] for name in COMPARED),
        "different": [name for name in COMPARED if record[name] != again[name]],
        "same teacher": run.get("teacher", {}).get("sha256")
        == teacher_facts(cell, teachers).get("sha256"),
        "same machine": run.get("machine") == machine(),
        "same versions": run.get("versions") == versions(),
    }


def _say(found: dict[str, Any], within: float) -> None:
    print(found["key"])
    print(f"recorded {found['recorded']:.2f}, again {found['again']:.2f}")
    if found["same"]:
        print("Every number is the same: scores, curve, parity, heads, losses.")
        return
    print(f"Different: {', '.join(found['different'])}.")
    others = [name for name in ("teacher", "machine", "versions") if not found[f"same {name}"]]
    if others:
        print(f"Run with another {', another '.join(others)}, by which rounding differs.")
    if within:
        near = abs(found["again"] - found["recorded"]) <= within
        print(f"The main score is {'' if near else 'NOT '}within {within:g} points.")
