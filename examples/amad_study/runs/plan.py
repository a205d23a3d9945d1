"""A plan of cells run to its end: over processes, and safe to kill at any moment."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from amad_core.files import write_atomically
from amad_study.models.gate import GateError
from amad_study.runs.cell import Cell
from amad_study.runs.circumstances import circumstances
from amad_study.runs.records import record_path, unfinished
from amad_study.runs.student import run_cell, teacher_of
from amad_study.runs.workers import Outcome, Workers


@dataclass(frozen=True)
class Progress:
    """How far a plan is.

    Attributes:
        done, cells: cells finished, of how many.
        key: the cell or teacher that ended just now.
        trouble: what went wrong with it, or why there is no student; empty if nothing.
        seconds: that it took.
    """

    done: int
    cells: int
    key: str
    trouble: str = ""
    seconds: float = 0.0


def run_plan(
    cells: Sequence[Cell],
    folder: Path,
    *,
    processes: int = 1,
    on_progress: Callable[[Progress], None] | None = None,
) -> dict[str, str]:
    """Run what has no record yet; whatever stops it, finished cells stay.

    Teachers come first, each trained by one process. A cell whose teacher the gate refuses gets a
    record that says so. One that raises, or whose process dies, is reported and stops nothing else.

    Args:
        cells: the plan.
        folder: of records and teachers.
        processes: how many work at a time, with one thread each.
        on_progress: called after every teacher and every cell.

    Returns:
        by key, what kept a cell from being finished; such cells are tried again by the next run.

    Raises:
        ValueError: fewer than one process.
    """
    open_cells = unfinished(cells, folder)
    total = len({cell.key for cell in cells})
    done = total - len(open_cells)
    troubles: dict[str, str] = {}

    def tell(key: str, outcome: Outcome) -> None:
        if on_progress is not None:
            said = outcome.trouble or outcome.answer or ""
            on_progress(Progress(done, total, key, said, outcome.seconds))

    with Workers(partial(work_on, folder=folder), processes) as workers:
        lost: dict[str, str] = {}
        of_teacher = {_teacher_key(cell): cell for cell in open_cells}
        for outcome in workers.run([("teacher", cell) for cell in of_teacher.values()]):
            cell = outcome.job[1]
            lost[_teacher_key(cell)] = outcome.trouble
            tell(f"teacher {cell.teacher_seed} of {cell.task}, {cell.family}", outcome)
        troubles |= {
            cell.key: f"its teacher: {trouble}"
            for cell in open_cells
            if (trouble := lost[_teacher_key(cell)])
        }
        taught = [("student", cell) for cell in open_cells if cell.key not in troubles]
        for outcome in workers.run(taught):
            key = outcome.job[1].key
            if outcome.trouble:
                troubles[key] = outcome.trouble
            else:
                done += 1
            tell(key, outcome)
    return troubles


def work_on(job: tuple[str, Cell], folder: Path) -> str:
    """Train a teacher, or run a cell and write its record, unless it is there by now.

    Returns:
        why there is no such student; empty if there is.
    """
    import torch

    torch.set_num_threads(1)
    kind, cell = job
    teachers, path = folder / "teachers", record_path(folder, cell)
    started = time.monotonic()
    try:
        if kind == "teacher":
            teacher_of(cell, teachers)
            return ""
        if path.exists():
            return ""
        record = run_cell(cell, teachers)
    except GateError as error:
        if kind == "teacher":
            return str(error)
        record = {"cell": cell.as_json(), "refused": str(error)}
    record["run"] = circumstances(cell, teachers, time.monotonic() - started)
    write_atomically(path, json.dumps(record, indent=1) + "\n")
    return str(record.get("refused") or record.get("diverged") or "")


def _teacher_key(cell: Cell) -> str:
    return json.dumps([cell.task, cell.family, cell.teacher_recipe.as_json()], sort_keys=True)
