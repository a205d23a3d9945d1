"""The report as JSON, JUnit XML, web page and text."""

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from typer import Typer
from typer.testing import CliRunner

from amad_core.conformance import check_port
from amad_core.conformance.command import verify
from amad_core.conformance.judging.checks import CHECKS
from amad_core.conformance.reports.html import as_html
from amad_core.conformance.reports.junit import as_junit
from tests.support.port_sources import RIGHT_MSE, spoilt
from tests.support.processes import running

APP = Typer()
APP.command()(verify)

TEXT = {"type": "string"}
CHECK = {
    "type": "object",
    "properties": {
        "name": {"enum": list(CHECKS)},
        "title": TEXT,
        "status": {"enum": ["passed", "failed", "skipped", "decision"]},
        "detail": TEXT,
        "cases": {"type": "integer", "minimum": 0},
        "failed_cases": {"type": "integer", "minimum": 0},
        "mistake": TEXT,
        "seconds": {"type": "number", "minimum": 0},
    },
    "additionalProperties": False,
}
CHECK["required"] = list(CHECK["properties"])
SCHEMA = {
    "type": "object",
    "properties": {
        "schema": {"const": "amad-report/1"},
        "version": TEXT,
        "target": TEXT,
        "verdict": {"enum": ["right", "wrong", "unusable"]},
        "passed": {"type": "boolean"},
        "headline": TEXT,
        "judged_as": {"type": "object", "required": ["variant", "temperature", "reduction", "eps"]},
        "port": {"type": ["object", "null"]},
        "seed": {"type": "integer"},
        "max_examples": {"type": "integer"},
        "seconds": {"type": "number"},
        "error": {"type": ["object", "null"], "required": ["kind", "message", "hint"]},
        "checks": {"type": "array", "items": CHECK},
        "explanations": {
            "type": "array",
            "items": {"type": "object", "required": ["name", "sentence", "symptom", "mend"]},
        },
        "hints": {"type": "array", "items": TEXT},
        "facts": {"type": "array", "items": TEXT},
        "worst_case": {"type": ["object", "null"]},
        "snippet": TEXT,
    },
    "additionalProperties": False,
}
SCHEMA["required"] = list(SCHEMA["properties"])


def no_constant(name):
    raise AssertionError(f"{name} is no JSON")


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """One report of each verdict, and one of a port with a name and words that need escaping."""
    folder = tmp_path_factory.mktemp("ports")
    sources = {
        "right": RIGHT_MSE,
        "wrong": spoilt(RIGHT_MSE, ".mean()", ".sum()"),
        "nan": spoilt(RIGHT_MSE, "return ", "return np.nan * "),
        "unusable": "def loss(teacher, student):\n"
        "    raise ValueError('<script>\\x00]]>&\\x1b[31m')\n",
        "<b>&odd": spoilt(
            RIGHT_MSE, "    t, s =", "    assert len(teacher) < 2, '<i>]]>'\n    t, s ="
        ),
    }
    found = {}
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source)
        found[name] = check_port(f"{folder}/{name}.py:loss", isolate=False, max_examples=10)
    return found


def test_json_follows_its_schema(reports):
    for report in reports.values():
        data = json.loads(json.dumps(report.to_json()), parse_constant=no_constant)
        jsonschema.validate(data, SCHEMA)
    assert [reports[name].verdict for name in ("right", "wrong", "unusable")] == [
        "right",
        "wrong",
        "unusable",
    ]


def test_junit_is_xml_with_a_test_case_for_each_check(reports):
    for report in reports.values():
        suite = ElementTree.fromstring(as_junit(report)).find("testsuite")
        cases = suite.findall("testcase")
        assert len(cases) == int(suite.get("tests"))
        assert len(suite.findall("testcase/failure")) == int(suite.get("failures"))
        assert len(suite.findall("testcase/error")) == int(suite.get("errors"))
        assert bool(suite.findall("testcase/failure") or suite.findall("testcase/error")) != (
            report.passed
        )
    assert len(ElementTree.fromstring(as_junit(reports["wrong"])).findall(".//testcase")) == len(
        CHECKS
    )


class Balanced(HTMLParser):
    """Fails on a page whose elements are not closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attributes):
        self.seen.append(tag)
        assert not {"src", "href"} & {name for name, _ in attributes}, "an external resource"
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_is_whole_escaped_and_needs_nothing_else(reports):
    for report in reports.values():
        page = Balanced()
        page.feed(as_html(report))
        page.close()
        assert not page.open
        assert not {"script", "i", "b", "link", "iframe"} & set(page.seen)
        assert "http" not in as_html(report)


def test_page_draws_the_smallest_wrong_input(reports):
    """A square for each cell of the maps; as dark in the port's gradient as in the right one."""
    report = reports["wrong"]
    page, case = as_html(report), report.worst.case
    assert page.count("<rect") == case.teacher[0].size + case.student[0].size
    assert f"<title>{case.student[0].max():.6g}</title>" in page
    assert "<svg" not in as_html(reports["right"])


def test_text_fits_80_columns_and_tells_the_verdict(reports):
    for report in reports.values():
        text = str(report)
        before, _, snippet = text.partition("To see it for yourself")
        assert max(map(len, before.splitlines())) <= 80
        assert text.rstrip().splitlines()[-1].split()[0] == report.verdict.upper() or (
            report.verdict == "unusable"
        )
        assert "\x1b" not in text
        assert bool(snippet) == (report.verdict == "wrong")


def test_snippet_runs_and_shows_the_disagreement(reports, capsys):
    for name in ("wrong", "nan"):
        snippet = reports[name].snippet
        assert len(snippet.splitlines()) <= 12
        exec(compile(snippet, "snippet", "exec"), {})
        _, port, _, specification, value, *_ = capsys.readouterr().out.splitlines()
        assert specification == "specification:"
        assert port != value


def test_files_are_written_and_standard_output_is_only_json(tmp_path):
    port = tmp_path / "port.py"
    port.write_text(spoilt(RIGHT_MSE, ".mean()", ".sum()"))
    junit, html = tmp_path / "new" / "report.xml", tmp_path / "report.html"
    arguments = [f"{port}:loss", "--max-examples", "5", "--json"]
    result = CliRunner().invoke(APP, [*arguments, "--junit", str(junit), "--html", str(html)])
    assert result.exit_code == 1
    jsonschema.validate(json.loads(result.stdout), SCHEMA)
    assert ElementTree.parse(junit).getroot().tag == "testsuites"
    assert html.read_text().startswith("<!DOCTYPE html>")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "port.py", "report.html"]


def test_report_that_cannot_be_written_is_said(tmp_path):
    port = tmp_path / "port.py"
    port.write_text(RIGHT_MSE)
    arguments = [f"{port}:loss", "--max-examples", "1", "--html", str(port / "report.html")]
    result = CliRunner().invoke(APP, arguments)
    assert result.exit_code == 2
    assert "cannot write" in result.output


def test_a_terminal_shows_what_is_being_checked_and_json_stays_pure(port_file):
    """Progress goes to the terminal behind standard error, the report to standard output."""
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "amad_core.command_line", "verify", port_file(RIGHT_MSE)]
    with running(
        [*command, "--json", "--max-examples", "3"],
        stdout=subprocess.PIPE,
        stderr=end,
        env={**os.environ, "TERM": "xterm"},
    ) as process:
        report, _ = process.communicate(timeout=60)
    os.close(end)
    shown = os.read(terminal, 1 << 16).decode()
    os.close(terminal)
    assert json.loads(report)["verdict"] == "right"
    assert "Loading the port ..." in shown


def test_a_terminal_of_few_columns_and_signs_shows_everything(tmp_path):
    """40 columns of ASCII: the port's words are folded and spelt out, none is lost or refused."""
    port = tmp_path / "pört.py"
    raising = "    assert len(teacher) < 2, 'größer „als“ eins ' + 'x' * 60\n    t, s ="
    port.write_text(spoilt(RIGHT_MSE, "    t, s =", raising))
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "amad_core.command_line", "verify", "pört.py:loss"]
    settings = {"TERM": "xterm", "COLUMNS": "40", "PYTHONIOENCODING": "ascii"}
    with (
        running(
            [*command, "--max-examples", "3"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **settings},
            stdout=end,
            stderr=subprocess.PIPE,
        ) as process,
        open(terminal, encoding="ascii", closefd=False) as shown,
    ):
        os.close(end)
        text = "".join(iter_lines(shown))
        assert process.stderr.read() == ""
    os.close(terminal)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert r"p\xf6rt.py:loss" in plain
    assert "WRONG" in plain
    before, _, _ = plain.partition("To see it")
    words = [line for line in before.splitlines() if "\\" not in line]
    assert max(map(len, words)) <= 40


def iter_lines(stream):
    """What a terminal shows until nobody writes to it any more, which Linux calls an error."""
    with contextlib.suppress(OSError):
        yield from stream


@pytest.mark.parametrize("loaded", ["numpy", "typer", "amad_core.conformance.examination"])
def test_ctrl_c_while_the_command_is_loaded_ends_it_in_silence(loaded):
    program = f"""
import sys

class Interrupted:
    def find_spec(self, name, *_):
        if name == {loaded!r}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupted())
sys.argv = ["amad", "verify", "port.py"]
from amad_command import main
main()
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (found.returncode, found.stdout, found.stderr) == (130, "", "")


def test_a_report_goes_through_a_link_and_into_a_pipe(port_file, tmp_path):
    """What stands there, a link or a device, is written to and stays what it is."""
    (tmp_path / "link.html").symlink_to(tmp_path / "target.html")
    command = [port_file(RIGHT_MSE), "--max-examples", "3", "--html", str(tmp_path / "link.html")]
    assert CliRunner().invoke(APP, [*command, "--junit", os.devnull]).exit_code == 0
    assert (tmp_path / "link.html").is_symlink()
    assert "<html" in (tmp_path / "target.html").read_text()
    assert not Path(os.devnull).is_file()
    before = set(tmp_path.iterdir())
    assert CliRunner().invoke(APP, [*command[:-1], str(tmp_path)]).exit_code == 2
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("limit", ["inf", "1e300", "nan", "0"])
def test_a_time_limit_that_is_none_is_refused(port_file, limit):
    result = CliRunner().invoke(APP, [port_file(RIGHT_MSE), "--time-limit", limit])
    assert result.exit_code == 2
    assert "Traceback" not in result.output
