"""The report as one web page that needs nothing else."""

from collections.abc import Sequence
from html import escape

from amad_core.conformance.reports.picture import picture
from amad_core.conformance.reports.report import Report
from amad_core.conformance.reports.rows import Row, Section, printable

_STYLE = """
:root { --ink: #1d2129; --soft: #5b6678; --line: #dfe3e9; --page: #f7f8fa; --card: #fff;
  --pass: #177245; --fail: #c0362c; --note: #9a6700; --map: #2563c9; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --soft: #98a2b3; --line: #363d48; --page: #14171c; --card: #1c2027;
    --pass: #4cc38a; --fail: #ff7a70; --note: #e2b340; --map: #6ea8ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); overflow-wrap: anywhere;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 56rem; margin: 0 auto; padding: 2rem 1rem 4rem; }
h1 { font-size: 1.3rem; margin: 0; }
h2 { font-size: 1.05rem; margin: 0 0 .5rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 1.25rem 1.5rem; margin-top: 1rem; }
.verdict { display: inline-block; padding: .15rem .8rem; border-radius: 999px; color: #fff;
  font-weight: 600; margin-right: .5rem; }
.verdict.right { background: #177245; } .verdict.wrong { background: #c0362c; }
.verdict.unusable { background: #9a6700; }
table { border-collapse: collapse; }
th, td { padding: .2rem 1.25rem .2rem 0; vertical-align: top; text-align: left; }
th { font-weight: 400; color: var(--soft); white-space: nowrap; }
td { white-space: pre-line; }
small { display: block; font-size: .875rem; color: var(--soft); }
.strong td { font-weight: 600; } tr ~ .strong > * { padding-top: .8rem; }
.strong small { font-weight: 400; font-size: 1rem; color: inherit; }
.decision small { color: var(--note); } svg + small { margin-top: .5rem; }
.mark { font-weight: 700; white-space: nowrap; } td span, .skipped { color: var(--soft); }
.passed .mark { color: var(--pass); } .decision .mark { color: var(--note); }
.failed .mark, .failed span { color: var(--fail); }
pre { font: .85rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-x: auto;
  overflow-wrap: normal; background: var(--page); border: 1px solid var(--line);
  border-radius: 8px; padding: 1rem; margin: 0; }
svg { display: block; max-width: 100%; margin-top: 1rem; }
svg text { font-size: 13px; fill: var(--soft); }
rect { stroke: var(--line); } .above { fill: var(--map); } .below { fill: var(--fail); }
.odd { fill: var(--note); } .masked { stroke: var(--soft); stroke-dasharray: 2; }
ul { margin: .75rem 0 0; padding-left: 1.25rem; }
footer { color: var(--soft); font-size: .85rem; margin-top: 1.5rem; }
"""


def as_html(report: Report) -> str:
    """A complete page; everything that comes from the port is escaped."""
    port, *sections, verdict = report.sections
    sections.sort(key=lambda section: section.title == "Checks")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(report.verdict)}: {_text(report.target)}</title>\n"
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<section><h1>{_text(report.target)}</h1><p><span class="verdict {report.verdict}">'
        f"{_text(report.verdict)}</span> {_text(verdict.rows[0].text)}</p>"
        f"{_rows(port.rows[1:])}</section>\n"
        + "\n".join(_section(section) for section in sections)
        + f"\n<footer>{report.seconds:.1f} seconds</footer>\n</main>\n</body>\n</html>\n"
    )


def _section(section: Section) -> str:
    points = "".join(f"<li>{_text(point)}</li>" for point in section.points)
    return (
        f"<section><h2>{_text(section.title)}</h2>{_rows(section.rows)}"
        + (picture(section.drawn) if section.drawn else "")
        + (f"<ul>{points}</ul>" if points else "")
        + (f"<pre>{_text(section.script)}</pre>" if section.script else "")
        + "</section>"
    )


def _rows(rows: Sequence[Row]) -> str:
    return f"<table>{''.join(map(_row, rows))}</table>" if rows else ""


def _row(row: Row) -> str:
    mark = f'<td class="mark">{_text(row.mark)}</td>' if row.mark else ""
    aside = f"<span>{_text(row.aside)}</span>" if row.aside else ""
    detail = f"<small>{_text(row.detail)}</small>" if row.detail else ""
    return (
        f'<tr class="{row.style or "plain"}">{mark}<th>{_text(row.label)}</th>'
        f"<td>{_text(row.text)}{aside}{detail}</td></tr>"
    )


def _text(text: str) -> str:
    return escape(printable(text), quote=True)
