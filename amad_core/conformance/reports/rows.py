"""What a report shows, in sections of rows: put together once, painted as text and as HTML."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from amad_core.conformance.inputs.case import Case
from amad_core.conformance.inputs.terms import Terms
from amad_core.conformance.judging.checks.result import (
    DECISION,
    FAILED,
    PASSED,
    SKIPPED,
    CheckResult,
)
from amad_core.conformance.judging.judgement import Judgement
from amad_core.conformance.ports.answer import PortError
from amad_core.conformance.ports.port import Description
from amad_core.conformance.reports.explanation import Findings

STRONG = "strong"
"""The style of a row to be read first; the others are named like the outcomes of checks."""

_MARKS = {PASSED: "pass", FAILED: "FAIL", SKIPPED: "skip", DECISION: "note"}
_LISTED_POINTS = 6
_LISTED_NUMBERS = 24


@dataclass(frozen=True)
class Row:
    """One thing that is said.

    Attributes:
        label: what it is about.
        text: what there is to say; lines may be broken by hand.
        aside: what is said in passing, right behind the text.
        detail: more, on a line of its own.
        mark: four letters in front, of a check.
        style: the outcome of a check, a verdict, :data:`STRONG`, or nothing.
    """

    label: str
    text: str
    aside: str = ""
    detail: str = ""
    mark: str = ""
    style: str = ""


@dataclass(frozen=True)
class Section:
    """Rows under a title.

    Attributes:
        points: sentences, listed below the rows.
        script: lines to be copied, never wrapped.
        drawn: an input and what came of it, for those who can draw.
    """

    title: str
    rows: tuple[Row, ...] = ()
    points: tuple[str, ...] = ()
    script: str = ""
    drawn: Judgement | None = None


def counted(count: int, word: str) -> str:
    """``"1 input"``, ``"2 inputs"``, ``"2 queries"``."""
    if count == 1:
        return f"1 {word}"
    return f"{count} {word[:-1]}ies" if word.endswith("ry") else f"{count} {word}s"


def printable(text: str) -> str:
    """Without control characters, by which a port could write to a terminal or break a file."""
    return "".join(
        character if character.isprintable() or character == "\n" else "\N{REPLACEMENT CHARACTER}"
        for character in text.expandtabs(4)
    )


def of_port(target: str, terms: Terms, port: Description | None, kit: str) -> Section:
    """What is judged, by what, and how it is called."""
    words = f"variant {terms.variant}, temperature {terms.temperature:g}"
    floor = f", eps {terms.eps:g}" if terms.eps else ""
    rows = [Row("port", target, style=STRONG)]
    if port is not None:
        rows.append(Row("framework", f"{port.versions} ({port.reason})"))
    rows.append(Row("judged as", f"{words}, reduction {terms.reduction}{floor}"))
    if port is not None:
        taken = f"passed to the port: {', '.join(port.accepts)}"
        fixed = "none: all options are taken to be fixed inside"
        rows.append(Row("options", taken if port.accepts else fixed))
        rows.append(Row("precision", f"{port.dtypes[0]}, others as a matter of quality"))
        if port.remark:
            rows.append(Row("arguments", port.remark))
    return Section("", (*rows, Row("kit", kit)))


def of_error(error: PortError) -> Section:
    """Why a port cannot be judged, and what to do."""
    rows = [Row("reason", _sentence(error.message))]
    return Section("Why", (*rows, *([Row("mend", _sentence(error.hint))] if error.hint else ())))


def of_checks(checks: Sequence[CheckResult]) -> Section:
    """One row a check."""
    return Section("Checks", tuple(_check(check) for check in checks))


def of_findings(findings: Findings) -> Section:
    """The mistakes, or that none is known, and what else there is to say."""
    rows = []
    for explanation in findings.explanations:
        rows.append(Row("mistake", explanation.name, detail=explanation.sentence, style=STRONG))
        parts = (("symptom", explanation.symptom), ("mend", explanation.mend))
        rows += [Row(label, text) for label, text in parts if text]
    if not rows:
        rows = [Row("mistake", "none that is known, nor a pair of them, gives these results")]
    return Section("What is wrong", tuple(rows), findings.points[:_LISTED_POINTS])


def of_worst(judgement: Judgement) -> Section:
    """The input to look at, and both answers."""
    case, found, wanted = judgement.case, judgement.answer, judgement.expected
    rows = [Row("input", f"{case.name}: {_sizes(case)}")]
    if case.student.size + case.teacher.size <= _LISTED_NUMBERS:
        rows += [Row("teacher", str(case.teacher.tolist()))]
        rows += [Row("student", str(case.student.tolist()))]
        rows += [Row("mask", str(case.mask.astype(int).tolist()))] if case.mask is not None else []
    rows.append(Row("loss", _both(found.value, wanted.value)))
    if found.trouble is not None:
        rows.append(Row("", found.trouble.message))
    if found.grad_student is not None and 2 * found.grad_student.size <= _LISTED_NUMBERS:
        rows.append(Row("gradient", _both(found.grad_student, wanted.grad_student)))
    return Section("The smallest wrong input", tuple(rows), drawn=judgement)


def _check(check: CheckResult) -> Row:
    mark, inputs = _MARKS[check.status], counted(check.cases, "input")
    if check.status == SKIPPED:
        return Row(check.name, check.detail, mark=mark, style=check.status)
    aside = f" ({inputs})"
    if check.status == FAILED:
        aside = f": {check.failed_cases} of {inputs} wrong"
    return Row(check.name, check.title, aside, check.detail, mark, check.status)


def _both(found: NDArray[Any] | None, wanted: NDArray[Any] | None) -> str:
    return f"port {_numbers(found)}\nspecification {_numbers(wanted)}"


def _numbers(array: NDArray[Any] | None) -> str:
    if array is None:
        return "none"
    numbers = ", ".join(f"{number:.6g}" for number in array.ravel())
    return f"[{numbers}]" if array.ndim else numbers


def _sizes(case: Case) -> str:
    batch, teacher_heads, queries, keys = case.teacher.shape
    return ", ".join(
        (
            counted(batch, "sample"),
            counted(teacher_heads, "teacher head"),
            counted(case.student.shape[1], "student head"),
            counted(queries, "query"),
            counted(keys, "key"),
        )
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
