"""Progress with the time that is left: a bar on a terminal, a line for every student in a pipe."""

from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from amad_study.analysis.numbers import about
from amad_study.analysis.outlook import paces, seconds_of
from amad_study.protocol.stages import Stage
from amad_study.runs.plan import Progress as Step


class Told:
    """Says how far a stage is.

    Args:
        console: where to.
        stage: that is run, with the cells that are this machine's.
        records: of finished cells, by whose seconds the time left is estimated.
        processes: students trained at a time.
    """

    def __init__(
        self, console: Console, stage: Stage, records: dict[str, Any], processes: int
    ) -> None:
        self._console = console
        self._processes = processes
        pace = paces(records)
        self._expected = {
            cell.key: seconds_of(cell, pace) for cell in stage.cells if cell.key not in records
        }
        self._took = self._should_have_taken = 0.0
        self._bar: Progress | None = None
        console.print(
            f"{escape(stage.name)}: {escape(stage.question)} "
            f"{len(self._expected)} of {len(stage.cells)} students to train, "
            f"{about(self._left())}, and their teachers.",
            highlight=False,
        )

    def __enter__(self) -> "Told":
        if self._console.is_terminal and not self._console.quiet:
            self._bar = Progress(
                BarColumn(24),
                MofNCompleteColumn(),
                TextColumn("students, {task.fields[left]} left  {task.description}"),
                console=self._console,
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(
                "training teachers", total=None, left=about(self._left())
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def progress(self, step: Step) -> None:
        """A teacher or a student has ended."""
        if step.key in self._expected:
            self._should_have_taken += self._expected.pop(step.key)
            self._took += step.seconds
        left = about(self._left())
        if self._bar is not None:
            self._bar.update(
                self._task,
                completed=step.done,
                total=step.cells,
                left=left,
                description=escape(step.key),
            )
        if self._bar is None or step.trouble:
            trouble = f"  NOT finished: {step.trouble}" if step.trouble else ""
            to_go = f", {left} left" if step.done < step.cells else ""
            self._console.print(
                f"{step.done} of {step.cells}  {step.key}  {step.seconds:.0f} s{to_go}{trouble}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )

    def _left(self) -> float:
        """Estimates, corrected by how they have done so far."""
        correction = self._took / self._should_have_taken if self._should_have_taken else 1.0
        return correction * sum(self._expected.values()) / self._processes
