"""Sections as text: in colours on a terminal, plain in a file."""

import io
from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from amad_core.conformance.reports.rows import STRONG, Row, Section, printable

_STYLES = {
    "passed": "green",
    "failed": "bold red",
    "skipped": "bright_black",
    "decision": "yellow",
    "right": "bold green",
    "wrong": "bold red",
    "unusable": "bold yellow",
}
_QUIET = "bright_black"


def as_text(sections: Sequence[Section], width: int = 80) -> str:
    """The sections in plain characters; no line ends in blanks."""
    stream = io.StringIO()
    _print(sections, Console(file=stream, width=width, color_system=None))
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


def print_sections(sections: Sequence[Section]) -> None:
    """Write the sections to standard output, in colours where that is a terminal."""
    console = Console(highlight=False)
    if console.is_terminal:
        _print(sections, console)
    else:
        print(as_text(sections), end="")


def _print(sections: Sequence[Section], console: Console) -> None:
    for number, section in enumerate(sections):
        if number:
            console.print()
        # Marks in front say themselves what these rows are.
        marked = any(row.mark for row in section.rows)
        title = "" if marked else section.title
        indent = (0, 0, 0, 2 if title else 0)
        if title:
            console.print(_text(title, "bold"))
        if section.rows:
            console.print(Padding(_table(section.rows, marked), indent))
        if section.points:
            console.print(Padding(_listed(section.points), indent))
        if section.script:
            # Never wrapped: it is there to be copied.
            console.print(_text(section.script), soft_wrap=True)


def _table(rows: Sequence[Row], marked: bool) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(1 + marked):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        style = _STYLES.get(row.style, "")
        if marked:
            table.add_row(_text(row.mark, style), _text(row.label), _said(row))
        else:
            label = _QUIET if row.style in ("", STRONG) else style
            table.add_row(_text(row.label, label), _said(row))
    return table


def _listed(points: Sequence[str]) -> Table:
    table = Table.grid("", "", padding=(0, 1, 0, 0))
    table.columns[1].overflow = "fold"
    for point in points:
        table.add_row("-", _text(point))
    return table


def _said(row: Row) -> Text:
    styles = {STRONG: "bold", "skipped": _QUIET}
    said = _text(row.text, styles.get(row.style, ""))
    said.append(_text(row.aside, "red" if row.style == "failed" else _QUIET))
    return said.append(_text(f"\n{row.detail}" if row.detail else ""))


def _text(words: str, style: str = "") -> Text:
    return Text(printable(words), style=style)
