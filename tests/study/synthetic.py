"""Records that nobody trained, for tests of what is made of records; never shown as results."""

import hashlib
import json
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from amad_study.analysis.outlook import whole_plan
from amad_study.protocol.stages import stages
from amad_study.runs.cell import Cell

Level = Callable[[Cell], float]
"""The score that a cell is about to have."""


def record(cell: Cell, level: float, noise: float = 3.0) -> dict[str, Any]:
    """A record whose main score is a level, plus what its seed and its own chance add."""
    of_seed = np.random.default_rng(cell.seed).normal()
    own = np.random.default_rng(zlib.crc32(cell.key.encode())).normal()
    score = float(np.clip(level + noise * (of_seed + 0.3 * own), 0, 100))
    steps = [round(cell.steps * part / 12) for part in range(1, 13)]
    curve = [[step, score * (1 - 0.7 ** (row + 1)) + 1.4] for row, step in enumerate(steps)]
    kinds = ("1 step", "2 steps", "3 steps")
    likeness = 0.3 + 0.03 * (cell.teacher_seed + len(cell.task) % 5)
    look = {"layer": {"evenness": 0.8, "teacher": likeness, "student": 0.4}}
    teacher = f"{cell.task}-{cell.family}-{cell.teacher_seed}"
    return {
        "cell": cell.as_json(),
        "main score": "accuracy",
        "scores": {"accuracy": score, **{f"accuracy: {kind}": score for kind in kinds}},
        "curve": curve,
        "parity": 1.0,
        "heads": {"before": look, "after": look},
        "loss": {"loss": 1.0, "task": 1.0},
        "seconds": 50.0,
        "run": {
            "date": "2026-11-26T20:00:00+00:00",
            "elapsed": 60.0,
            "machine": {"processor": "a <processor>", "cores": 2, "system": "a system"},
            "versions": {"python": "3", "amad": "0"},
            "teacher": {
                "name": teacher,
                "sha256": hashlib.sha256(teacher.encode()).hexdigest(),
                "gate": {
                    "score": 92.0,
                    "with_other_pictures": 24.0,
                    "blind": 23.0,
                    "examples": 500,
                    "passed": True,
                },
            },
        },
    }


def write(folder: Path, cells: Iterable[Cell], level: Level) -> None:
    """Records of cells, as a run leaves them."""
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    for cell in cells:
        path = folder / "cells" / f"{cell.key}.json"
        path.write_text(json.dumps(record(cell, level(cell))))


def write_study(folder: Path, level: Level) -> None:
    """All records of the whole plan: the tuning first, as it decides what is run later."""
    tuning = [cell for stage in stages({}) for cell in stage.cells]
    write(folder, tuning, level)
    records = {cell.key: record(cell, level(cell)) for cell in tuning}
    write(folder, [cell for stage in whole_plan(records) for cell in stage.cells], level)
