"""A plan of cells run to its end: over processes, safe to kill, merged from several machines."""

import json
import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amad_core.files import write_atomically
from amad_study.models.gate import GateError
from amad_study.runs.cell import Cell
from amad_study.runs.student import run_cell, teacher_of


class DamagedRecordError(Exception):
    """A file among the results is not what was written there."""


@dataclass(frozen=True)
class Progress:
    """How far a plan is: cells finished, of how many; and what went wrong with the last, if so."""

    done: int
    cells: int
    key: str
    trouble: str = ""


def record_path(folder: Path, cell: Cell) -> Path:
    """Where the record of a cell is kept."""
    return folder / "cells" / f"{cell.key}.json"


def read_records(folder: Path) -> dict[str, dict[str, Any]]:
    """All finished cells of a folder by key.

    Raises:
        DamagedRecordError: a file that is no record, or of another cell than its name says.
    """
    return {path.stem: _read(path) for path in sorted((folder / "cells").glob("*.json"))}


def _read(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        key = Cell.from_json(record["cell"]).key
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedRecordError(f"{path} is no record of a cell ({error}): delete it") from None
    if key != path.stem:
        raise DamagedRecordError(f"{path} holds the record of {key}: rename or delete it")
    return record


def unfinished(cells: Iterable[Cell], folder: Path) -> list[Cell]:
    """The cells without a record, each once, in order."""
    once = {cell.key: cell for cell in cells}
    return [cell for cell in once.values() if not record_path(folder, cell).exists()]


def run_plan(
    cells: Sequence[Cell],
    folder: Path,
    *,
    processes: int = 1,
    on_progress: Callable[[Progress], None] | None = None,
) -> dict[str, str]:
    """Run what has no record yet; whatever stops it, finished cells stay.

    Teachers come first, each trained by one process.

    Args:
        cells: the plan.
        folder: of records and teachers.
        processes: how many work at a time, with one thread each.
        on_progress: called after every cell.

    Returns:
        by key, what kept a cell from being finished; such cells are tried again by the next run.

    Raises:
        ValueError: fewer than one process.
    """
    if processes < 1:
        raise ValueError(f"processes is {processes}, expected at least 1")
    open_cells = unfinished(cells, folder)
    done, total = len({cell.key for cell in cells}) - len(open_cells), len(open_cells)
    total += done
    of_teacher = {_teacher_key(cell): cell for cell in open_cells}
    troubles: dict[str, str] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        try:
            made = {
                key: pool.submit(_make_teacher, cell, folder) for key, cell in of_teacher.items()
            }
            refused = {key: future.result() for key, future in made.items()}
            running = {}
            for cell in open_cells:
                if trouble := refused[_teacher_key(cell)]:
                    troubles[cell.key] = trouble
                else:
                    running[pool.submit(_run_and_write, cell, folder)] = cell
            for future in as_completed(running):
                key, trouble = running[future].key, future.result()
                if trouble:
                    troubles[key] = trouble
                else:
                    done += 1
                if on_progress is not None:
                    on_progress(Progress(done, total, key, trouble))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return troubles


def _teacher_key(cell: Cell) -> str:
    return json.dumps([cell.task, cell.family, cell.teacher_recipe.as_json()], sort_keys=True)


def _make_teacher(cell: Cell, folder: Path) -> str:
    import torch

    torch.set_num_threads(1)
    try:
        teacher_of(cell, folder / "teachers")
    except (GateError, FloatingPointError) as error:
        return str(error)
    return ""


def _run_and_write(cell: Cell, folder: Path) -> str:
    try:
        record = run_cell(cell, folder / "teachers")
    except (GateError, FloatingPointError, ValueError) as error:
        return str(error)
    write_atomically(record_path(folder, cell), json.dumps(record, indent=1) + "\n")
    return ""


def merge(folders: Iterable[Path], into: Path) -> int:
    """Copy the records of several machines into one folder; those that are there stay.

    Returns:
        how many were copied.

    Raises:
        DamagedRecordError: a file that is no record; nothing was copied then.
    """
    found = {key: record for folder in folders for key, record in read_records(folder).items()}
    there = read_records(into)
    new = {key: record for key, record in found.items() if key not in there}
    for key, record in new.items():
        write_atomically(into / "cells" / f"{key}.json", json.dumps(record, indent=1) + "\n")
    return len(new)
