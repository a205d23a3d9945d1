"""The report as one web page that needs nothing else."""

from html import escape

from amad_core.conformance.judging.checks.result import (
    DECISION,
    FAILED,
    PASSED,
    SKIPPED,
    CheckResult,
)
from amad_core.conformance.judging.judgement import Judgement, shown
from amad_core.conformance.reports.report import Report

_STYLE = """
:root { --ink: #1d2129; --soft: #667085; --line: #e4e7ec; --page: #f7f8fa; --card: #fff;
  --pass: #177245; --fail: #c0362c; --note: #9a6700; --skip: #98a2b3; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --soft: #98a2b3; --line: #30363f; --page: #14171c; --card: #1c2027;
    --pass: #4cc38a; --fail: #ff7a70; --note: #e2b340; --skip: #667085; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 56rem; margin: 0 auto; padding: 2rem 1rem 4rem; }
h1 { font-size: 1.3rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 0 0 .75rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 1.25rem 1.5rem; margin-top: 1rem; }
.verdict { display: inline-block; padding: .15rem .8rem; border-radius: 999px; color: #fff;
  font-weight: 600; background: var(--skip); }
.verdict.right { background: #177245; } .verdict.wrong { background: #c0362c; }
.verdict.unusable { background: #9a6700; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.25rem; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
table { width: 100%; border-collapse: collapse; }
td { padding: .5rem .75rem .5rem 0; border-top: 1px solid var(--line); vertical-align: top; }
tr:first-child td { border-top: 0; }
td small { display: block; color: var(--soft); overflow-wrap: anywhere; }
.mark { font-weight: 700; white-space: nowrap; }
.passed .mark { color: var(--pass); } .failed .mark { color: var(--fail); }
.decision .mark { color: var(--note); } .skipped { color: var(--soft); }
code, pre { font: .85rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre { overflow-x: auto; background: var(--page); border: 1px solid var(--line);
  border-radius: 8px; padding: 1rem; margin: 0; }
.mend { border-left: 4px solid var(--pass); padding-left: 1rem; margin: .75rem 0 0; }
ul { margin: .75rem 0 0; padding-left: 1.25rem; }
footer { color: var(--soft); font-size: .85rem; margin-top: 1.5rem; }
"""

_MARKS = {PASSED: "pass", FAILED: "FAIL", SKIPPED: "skip", DECISION: "note"}
_LARGEST_SHOWN = 64


def as_html(report: Report) -> str:
    """A complete page; everything that comes from the port is escaped."""
    parts = [_top(report)]
    if report.error is not None:
        parts.append(
            _section(
                "Why", f"<p>{_text(report.error.message)}</p><p>{_text(report.error.hint)}</p>"
            )
        )
    if report.failed:
        parts.append(_section("What is wrong", _explanations(report)))
    if report.worst is not None:
        parts.append(_section("The smallest wrong input", _worst(report.worst)))
    if report.snippet:
        parts.append(_section("See it for yourself", f"<pre>{_text(report.snippet)}</pre>"))
    if report.checks:
        rows = "".join(_row(check) for check in report.checks)
        parts.append(_section("Checks", f"<table>{rows}</table>"))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(report.verdict)}: {_text(report.target)}</title>\n"
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + f"\n<footer>amad {_text(report.version)}, seed {report.seed}, "
        f"{report.seconds:.1f} seconds</footer>\n</main>\n</body>\n</html>\n"
    )


def _top(report: Report) -> str:
    terms, port = report.terms, report.description
    rows = []
    if port is not None:
        rows.append(("framework", f"{port.versions} ({port.reason})"))
    rows.append(
        (
            "judged as",
            f"variant {terms.variant}, temperature {terms.temperature:g}, "
            f"reduction {terms.reduction}" + (f", eps {terms.eps:g}" if terms.eps else ""),
        )
    )
    if port is not None:
        rows.append(("passed to the port", ", ".join(port.accepts) or "no options"))
        rows.append(("precision", port.dtypes[0]))
    return (
        f'<section><h1>{_text(report.target)}</h1><p><span class="verdict {report.verdict}">'
        f"{_text(report.verdict)}</span> {_text(report.headline.partition(': ')[2])}</p>"
        f"{_definitions(rows)}</section>"
    )


def _explanations(report: Report) -> str:
    parts = []
    for explanation in report.explanations:
        mend = f'<p class="mend">{_text(explanation.mend)}</p>' if explanation.mend else ""
        symptom = f"<p>{_text(explanation.symptom)}</p>" if explanation.symptom else ""
        parts.append(
            f"<p><strong>{_text(explanation.name)}</strong>: {_text(explanation.sentence)}</p>"
            f"{symptom}{mend}"
        )
    if not parts:
        parts.append("<p>No known mistake, and no pair of them, gives these results.</p>")
    facts = "".join(f"<li>{_text(fact)}</li>" for fact in (*report.hints, *report.facts))
    return "".join(parts) + (f"<ul>{facts}</ul>" if facts else "")


def _worst(judgement: Judgement) -> str:
    case, found = judgement.case, judgement.answer
    rows = [
        (
            "input",
            f"{case.name}, teacher {list(case.teacher.shape)}, student {list(case.student.shape)}",
        )
    ]
    if case.student.size <= _LARGEST_SHOWN:
        rows.append(("teacher", str(case.teacher.tolist())))
        rows.append(("student", str(case.student.tolist())))
    if case.mask is not None and case.mask.size <= _LARGEST_SHOWN:
        rows.append(("mask", str(case.mask.astype(int).tolist())))
    pairs = (
        ("loss", found.value, judgement.expected.value),
        ("gradient", found.grad_student, judgement.expected.grad_student),
    )
    for label, port, right in pairs:
        if port is not None and right is not None and port.size <= _LARGEST_SHOWN:
            rows.append((f"{label} of the port", _numbers(port)))
            rows.append((f"{label}, specification", _numbers(right)))
    return _definitions(rows)


def _numbers(array: object) -> str:
    import numpy as np

    values = np.asarray(array)
    return shown(values) if values.ndim == 0 else np.array2string(values, precision=6)


def _row(check: CheckResult) -> str:
    counted = f"{check.cases} inputs" if check.status != SKIPPED else ""
    if check.status == FAILED:
        counted = f"{check.failed_cases} of {check.cases} inputs wrong"
    detail = f"<small>{_text(check.detail)}</small>" if check.detail else ""
    return (
        f'<tr class="{check.status}"><td class="mark">{_MARKS[check.status]}</td>'
        f"<td><code>{_text(check.name)}</code></td>"
        f"<td>{_text(check.title)}{detail}</td><td>{counted}</td></tr>"
    )


def _section(title: str, content: str) -> str:
    return f"<section><h2>{_text(title)}</h2>{content}</section>"


def _definitions(rows: list[tuple[str, str]]) -> str:
    return (
        "<dl>"
        + "".join(f"<dt>{_text(label)}</dt><dd>{_text(text)}</dd>" for label, text in rows)
        + "</dl>"
    )


def _text(text: str) -> str:
    return escape(text, quote=True)
