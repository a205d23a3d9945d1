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
            self.console.print(text, highlight=False, soft_wrap=True)

    def show(self, table: Table) -> None:
        """Print a table."""
        if not self.quiet:
            self.console.print(table)

    @contextmanager
    def bar(self, total: int) -> Iterator[Callable[[str, int], None]]:
        """Show a bar of `total` steps; yields a function that takes a label and steps to add."""
        if self.quiet or not self.console.is_terminal:
            yield lambda label, steps: None
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps,"),
            TimeRemainingColumn(),
            TextColumn("left"),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task("", total=total)

            def advance(label: str, steps: int) -> None:
                progress.update(task, description=label, advance=steps)

            yield advance
