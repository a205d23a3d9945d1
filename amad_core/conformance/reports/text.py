"""The report as text: in colours on a terminal, plain in a file."""

import io
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text as RichText

from amad_core.conformance.inputs.case import Case
from amad_core.conformance.judging.checks.result import (
    DECISION,
    FAILED,
    PASSED,
    SKIPPED,
    CheckResult,
)
from amad_core.conformance.judging.judgement import Judgement, shown
from amad_core.conformance.reports.report import Report

_MARKS = {
    PASSED: ("pass", "green"),
    FAILED: ("FAIL", "bold red"),
    SKIPPED: ("skip", "bright_black"),
    DECISION: ("note", "yellow"),
}
_VERDICTS = {"right": "bold green", "wrong": "bold red", "unusable": "bold yellow"}
_LISTED_FACTS = 6


def as_text(report: Report, width: int = 80) -> str:
    """The report in plain characters."""
    stream = io.StringIO()
    _print(report, Console(file=stream, width=width, color_system=None))
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


def print_report(report: Report) -> None:
    """Write the report to standard output, in colours where that is a terminal."""
    console = Console(highlight=False)
    if console.is_terminal:
        _print(report, console)
    else:
        # In a file, no line ends in blanks.
        print(as_text(report), end="")


def _print(report: Report, console: Console) -> None:
    for part in _parts(report):
        console.print(part, soft_wrap=False)
    if report.snippet:
        console.print(_text("To see it for yourself, run", style="bold"))
        # Never wrapped: it is there to be copied.
        console.print(_text(report.snippet), soft_wrap=True)
        console.print()
    console.print(_last_line(report))


def _parts(report: Report) -> list[RenderableType]:
    parts: list[RenderableType] = [_header(report), _text()]
    if report.error is not None:
        parts += [_error(report), _text()]
    if report.checks:
        parts += [_checks(report), _text()]
    if report.failed:
        if report.explanations or report.facts:
            parts += [_explanations(report), _text()]
        if report.worst is not None:
            parts += [_worst(report.worst), _text()]
    return parts


def _header(report: Report) -> RenderableType:
    rows = _grid()
    rows.add_row(_text("port", style="bold"), _text(report.target, style="bold"))
    port, terms = report.description, report.terms
    if port is not None:
        rows.add_row("framework", _text(f"{port.versions} ({port.reason})"))
    claimed = (
        f"variant {terms.variant}, temperature {terms.temperature:g}, reduction {terms.reduction}"
    )
    rows.add_row("judged as", _text(claimed + (f", eps {terms.eps:g}" if terms.eps else "")))
    if port is not None:
        taken = ", ".join(port.accepts) or "none: all options are taken to be fixed inside"
        rows.add_row("options", _text(f"passed to the port: {taken}" if port.accepts else taken))
        rows.add_row("precision", _text(f"{port.dtypes[0]}, others as a matter of quality"))
        if port.remark:
            rows.add_row("arguments", _text(port.remark))
    rows.add_row("kit", _text(f"amad {report.version}, seed {report.seed}"))
    return rows


def _error(report: Report) -> RenderableType:
    assert report.error is not None
    lines: list[RenderableType] = [_text(_sentence(report.error.message))]
    if report.error.hint:
        lines.append(_text(_sentence(report.error.hint)))
    return Padding(Group(*lines), (0, 0, 0, 2))


def _checks(report: Report) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in report.checks:
        mark, style = _MARKS[check.status]
        table.add_row(_text(mark, style=style), _text(check.name), _outcome(check))
    return table


def _outcome(check: CheckResult) -> RichText:
    text = _text(check.title)
    if check.status == SKIPPED:
        return _text(check.detail, style="bright_black")
    inputs = f"{check.cases} input" + ("" if check.cases == 1 else "s")
    if check.status == FAILED:
        text.append(f": {check.failed_cases} of {inputs} wrong\n", style="red")
        return text.append(_text(check.detail))
    text.append(f" ({inputs})", style="bright_black")
    return text.append(_text(f"\n{check.detail}")) if check.detail else text


def _explanations(report: Report) -> RenderableType:
    lines: list[RenderableType] = [_text("What is wrong", style="bold")]
    for explanation in report.explanations:
        rows = _grid(indent=2)
        rows.add_row(_text("mistake"), _text(explanation.name, style="bold"))
        for label in ("sentence", "symptom", "mend"):
            text = getattr(explanation, label)
            if text:
                rows.add_row("" if label == "sentence" else label, _text(text))
        lines.append(rows)
    if not report.explanations:
        lines.append(
            Padding(
                _text("No known mistake, and no pair of them, gives these results."), (0, 0, 0, 2)
            )
        )
    # Where the mistake is known, what else is known only distracts.
    facts = report.hints if report.explanations else (*report.hints, *report.facts)
    for fact in facts[:_LISTED_FACTS]:
        lines.append(Padding(_text(f"- {fact}"), (0, 0, 0, 2)))
    return Group(*lines)


def _worst(judgement: Judgement) -> RenderableType:
    case, found = judgement.case, judgement.answer
    rows = _grid(indent=2)
    rows.add_row("input", _text(f"{case.name}: {_sizes(case)}"))
    if case.student.size + case.teacher.size <= 24:
        rows.add_row("teacher", _text(str(case.teacher.tolist())))
        rows.add_row("student", _text(str(case.student.tolist())))
        if case.mask is not None:
            rows.add_row("mask", _text(str(case.mask.astype(int).tolist())))
    rows.add_row("loss", _pair(found.value, judgement.expected.value))
    if found.grad_student is not None and found.grad_student.size <= 12:
        rows.add_row("gradient", _pair(found.grad_student, judgement.expected.grad_student))
    return Group(_text("The smallest wrong input", style="bold"), rows)


def _pair(found: Any, wanted: Any) -> RichText:
    port = "none" if found is None else shown(found.ravel() if found.ndim else found)
    right = "none" if wanted is None else shown(wanted.ravel() if wanted.ndim else wanted)
    return _text(f"port {port}\nspecification {right}")


def _sizes(case: Case) -> str:
    batch, teacher_heads, queries, keys = case.teacher.shape
    counted = (
        (batch, "sample"),
        (teacher_heads, "teacher head"),
        (case.student.shape[1], "student head"),
        (queries, "query"),
        (keys, "key"),
    )
    return ", ".join(f"{count} {word if count == 1 else _plural(word)}" for count, word in counted)


def _plural(word: str) -> str:
    return "queries" if word == "query" else f"{word}s"


def _last_line(report: Report) -> RichText:
    text = _text(report.verdict.upper(), style=_VERDICTS[report.verdict])
    summary = "cannot be judged" if report.error else report.headline.partition(": ")[2]
    text.append(f"  {summary}", style="default")
    return text.append(f" ({report.seconds:.1f} s)", style="bright_black")


def _grid(indent: int = 0) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bright_black")
    table.add_column(overflow="fold")
    if indent:
        table.pad_edge = True
        table.padding = (0, 0, 0, indent)
    return table


def _text(words: str = "", style: str = "") -> RichText:
    """Text without control characters, by which a port could write to the user's terminal."""
    shown = "".join(
        character if character.isprintable() or character == "\n" else "\N{REPLACEMENT CHARACTER}"
        for character in words
    )
    return RichText(shown, style=style)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
