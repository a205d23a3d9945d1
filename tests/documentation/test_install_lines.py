"""Every install line that a page or a message shows names an extra and works from a clone."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from amad_core.arguments.extras import install_hint
from amad_core.conformance.ports.frameworks import MODULES

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parents[2]
EXTRAS = set(
    tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
)
SOURCES = [
    path
    for folder in ("amad_core", "amad_distill", "adapters", "examples")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]

LINE = re.compile(r"pip install (?P<what>(-\w+ )*(\S+))")
FROM_A_CLONE = re.compile(r"-e '\.\[(?P<extras>\w+(,\w+)*)\]'")


def install_lines(text: str) -> list[str]:
    """What ``pip install`` is asked for, wherever the text says so."""
    return [match["what"] for match in LINE.finditer(text)]


def is_right(line: str) -> bool:
    match = FROM_A_CLONE.match(line)
    return bool(match) and set(match["extras"].split(",")) <= EXTRAS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_say_what_works_from_a_clone(page: Path) -> None:
    lines = install_lines(page.read_text(encoding="utf-8"))
    assert [line for line in lines if not is_right(line)] == []


def test_only_the_one_hint_says_how_to_install() -> None:
    said = [path.name for path in SOURCES if "pip install" in path.read_text(encoding="utf-8")]
    assert said == ["extras.py"]


def hinted_extras() -> set[str]:
    """The extras that sources ask the hint for; a name that is no literal is a framework's."""
    return {
        argument.value if isinstance(argument, ast.Constant) else "a framework"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "install_hint"
        for argument in node.args
    }


def test_every_hint_names_an_extra() -> None:
    assert {"verify", "demo", "a framework"} <= hinted_extras()
    frameworks = set(MODULES) - {"numpy"}
    for extra in (hinted_extras() | frameworks) - {"a framework"}:
        (line,) = install_lines(install_hint(extra))
        assert is_right(line), extra


@pytest.mark.parametrize(
    "line",
    ["'amad[verify]'", "amad", "'.[verify]'", "-e '.[nothing]'", "-e '.[torch,jx]'", "numpy"],
)
def test_a_planted_line_is_caught(line: str) -> None:
    assert [is_right(found) for found in install_lines(f"run pip install {line} first")] == [False]


def test_the_command_without_its_extra_says_how_to_install_it() -> None:
    code = (
        "import sys; sys.modules['typer'] = None; from amad_core.command_line import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert [is_right(line) for line in install_lines(done.stderr)] == [True]
    assert "Traceback" not in done.stderr
