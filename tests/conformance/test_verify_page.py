"""The outputs shown in docs/verify.md and in the README are what the commands print."""

import re
import sys
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from amad_core.conformance.command import verify

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / "verify.md", ROOT / "README.md"]
APP = Typer()
APP.command()(verify)


def runs(page):
    """``(port file, its source, arguments, output shown)`` of each run on a page."""
    text = page.read_text(encoding="utf-8")
    sources = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, re.DOTALL))
    pattern = (
        r"```bash\namad verify ([^\n]*?)(?:  #[^\n]*)?\n```\n(?:\n[^`<]*)?\n"
        r"<!-- output -->\n```text\n(.*?)```"
    )
    for command, shown in re.findall(pattern, text, re.DOTALL):
        target, *arguments = command.split()
        name = target.partition(":")[0]
        yield pytest.param(name, sources[name], [target, *arguments], shown, id=name)


def comparable(text):
    """Without what differs from machine to machine: versions, seconds."""
    text = re.sub(r"^(framework|kit) .*$", r"\1", text, flags=re.MULTILINE)
    return re.sub(r"\(\d+\.\d s\)|off by [\d.e-]+", "", text)


ALL_RUNS = [run for page in PAGES for run in runs(page)]


@pytest.mark.parametrize(("name", "source", "arguments", "shown"), ALL_RUNS)
def test_output_is_what_the_command_prints(name, source, arguments, shown, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / name).write_text(f"# {name}\n{source}")
    result = CliRunner().invoke(APP, arguments)
    output = comparable(result.output)
    for part in comparable(shown).split("...\n"):  # what is left out
        assert part in output
        output = output.partition(part)[2]


def test_the_pages_have_their_runs():
    shown = [parameters.values[3] for parameters in runs(PAGES[0])]
    assert ["WRONG" in output for output in shown] == [True, False]
    assert len(list(runs(PAGES[1]))) == 1
