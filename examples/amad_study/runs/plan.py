"""A plan of cells run to its end: over processes, and safe to kill at any moment."""

import hashlib
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic

from amad_study.models.gate import GateError
from amad_study.runs.cell import Cell
from amad_study.runs.circumstances import surroundings, teacher_facts
from amad_study.runs.records import AnyCell, OneKind, record_path, unfinished, write_record
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


def in_share(cell: AnyCell, share: tuple[int, int]) -> bool:
    """Whether a cell is in the K-th of N machines' part: all cells of a seed are, so they pair."""
    part, parts = share
    return cell.seed % parts == part - 1


class Work(ABC, Generic[OneKind]):
    """How students of one kind of cell come about, in whichever process it is done."""

    def teacher(self, cell: OneKind) -> str:
        """Names the teacher that has to be there first; empty if none has to be trained."""
        return ""

    def needs(self, cell: OneKind) -> tuple[str, ...]:
        """What is made for the cell's student, each from the one before, and held for the next."""
        return ()

    def teach(self, cell: OneKind, teachers: Path) -> None:
        """Train the cell's teacher, unless it is in the folder.

        Raises:
            GateError: it must not teach.
        """

    @abstractmethod
    def run(self, cell: OneKind, teachers: Path) -> dict[str, Any]:
        """Train and judge the student: the record, but for `run`.

        Raises:
            GateError: its teacher must not teach.
        """

    @abstractmethod
    def facts(self, cell: OneKind, teachers: Path) -> dict[str, Any]:
        """What the record says about the teacher; with its checksum as `sha256`."""


class WorkOnScenes(Work[Cell]):
    """The study's own cells, with teachers that it trains."""

    def teacher(self, cell: Cell) -> str:
        """By seed, task and family, and a digest of all else."""
        recipe = json.dumps(cell.teacher_recipe.as_json(), sort_keys=True)
        digest = hashlib.sha256(recipe.encode()).hexdigest()[:6]
        return f"teacher {cell.teacher_seed} of {cell.task}, {cell.family} ({digest})"

    def needs(self, cell: Cell) -> tuple[str, ...]:
        """The data, the teacher, and with the seed the order of its heads: what it remembers."""
        data = f"{cell.task}, {cell.family}, {cell.train_examples}, {cell.test_examples}"
        return data, self.teacher(cell), str(cell.seed)

    def teach(self, cell: Cell, teachers: Path) -> None:
        """See `teacher_of`."""
        teacher_of(cell, teachers)

    def run(self, cell: Cell, teachers: Path) -> dict[str, Any]:
        """See `run_cell`."""
        return run_cell(cell, teachers)

    def facts(self, cell: Cell, teachers: Path) -> dict[str, Any]:
        """See `teacher_facts`."""
        return teacher_facts(cell, teachers)


ON_SCENES = WorkOnScenes()


def run_plan(
    cells: Sequence[OneKind],
    folder: Path,
    *,
    work: Work[Any] = ON_SCENES,
    processes: int = 1,
    on_progress: Callable[[Progress], None] | None = None,
) -> dict[str, str]:
    """Run what has no record yet; whatever stops it, finished cells stay.

    Teachers come first, each trained by one process. Cells are run in their order, except that a
    process keeps to those of one teacher and seed while there are some. A cell whose teacher the
    gate refuses gets a record that says so. One that raises, or whose process dies, is reported
    and stops nothing else.

    Args:
        cells: the plan.
        folder: of records and teachers.
        work: how students of this kind of cell come about; by default of those of scenes.
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

    one_job = partial(work_on, folder=folder, work=work)
    with Workers(one_job, processes, needs=lambda job: work.needs(job[1])) as workers:
        lost: dict[str, str] = {}
        of_teacher = {name: cell for cell in open_cells if (name := work.teacher(cell))}
        for outcome in workers.run([("teacher", cell) for cell in of_teacher.values()]):
            name = work.teacher(outcome.job[1])
            lost[name] = outcome.trouble
            tell(name, outcome)
        troubles |= {
            cell.key: f"its teacher: {trouble}"
            for cell in open_cells
            if (trouble := lost.get(work.teacher(cell), ""))
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


def work_on(job: tuple[str, OneKind], folder: Path, work: Work[Any] = ON_SCENES) -> str:
    """Train a teacher, or run a cell and write its record, unless it is there by now.

    Returns:
        why there is no such student; empty if there is.
    """
    import torch

    torch.set_num_threads(1)
    kind, cell = job
    teachers = folder / "teachers"
    started = time.monotonic()
    try:
        if kind == "teacher":
            work.teach(cell, teachers)
            return ""
        if record_path(folder, cell).exists():
            return ""
        record = work.run(cell, teachers)
    except GateError as error:
        if kind == "teacher":
            return str(error)
        record = {"cell": cell.as_json(), "refused": str(error)}
    elapsed = surroundings(time.monotonic() - started)
    record["run"] = {**elapsed, "teacher": work.facts(cell, teachers)}
    write_record(folder, cell, record)
    return str(record.get("refused") or record.get("diverged") or "")
