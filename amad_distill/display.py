"""Progress for people: bars on a terminal, plain lines in a pipe, nothing when quiet."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table


class Display:
    """Says what is going on.

    Args:
        console: where to.
        quiet: say nothing but errors.
    """

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self.console = console
        self.quiet = quiet

    def say(self, text: str) -> None:
        """Print a line."""
        if not self.quiet:
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def show(self, table: Table) -> None:
        """Print a table."""
        if not self.quiet:
            self.console.print(table)

    @contextmanager
    def bar(self, *, lines: bool = True) -> Iterator[Callable[[int, int, str], None]]:
        """Show a bar; yields a function that takes the step, how many there are, and a label.

        In a pipe each label is a line of its own, unless `lines` is false.
        """
        if self.quiet or not self.console.is_terminal:

            def advance(step: int, steps: int, label: str) -> None:
                if label and lines:
                    self.say(f"step {step} of {steps}  {label}")

            yield advance
            return
        columns = (
            BarColumn(20),
            MofNCompleteColumn(),
            TextColumn("steps,"),
            TimeRemainingColumn(),
            TextColumn("left  {task.description}"),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task("", total=None)

            def move(step: int, steps: int, label: str) -> None:
                progress.update(task, description=label, completed=step, total=steps)

            yield move
