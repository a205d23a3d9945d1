"""Writing the report, and putting its figures into the documentation."""

import json
from pathlib import Path

from amad_core.files import write_atomically
from amad_study.analysis.summary import summarise
from amad_study.report.documentation import filled_page
from amad_study.report.page import as_html
from amad_study.report.picture_files import picture_files


def write_report(folder: Path, *, quick: bool = False, as_json: bool = False) -> str:
    """Write `report.html` and `results.json`; returns what is said about it, or the JSON."""
    summary = summarise(folder, quick=quick)
    content = json.dumps(summary, indent=1) + "\n"
    summary = json.loads(content)  # the page shows what the file says
    write_atomically(folder / "results.json", content)
    write_atomically(folder / "report.html", as_html(summary))
    if as_json:
        return content.rstrip("\n")
    done, planned = summary["cells"]["done"], summary["cells"]["planned"]
    return f"{done} of {planned} students. The report: {folder / 'report.html'}"


def fill_page(markdown: Path, results: Path | None) -> None:
    """Replace what stands between the marks of a page, and write its pictures into `assets`.

    Raises:
        OSError: a file cannot be read or written.
        ValueError: see `filled_page`.
    """
    summary = None if results is None else json.loads(results.read_text(encoding="utf-8"))
    text = markdown.read_text(encoding="utf-8")
    filled = filled_page(text, summary)
    for name, picture in picture_files(summary).items() if summary else ():
        write_atomically(markdown.parent / "assets" / name, picture)
    write_atomically(markdown, filled)
