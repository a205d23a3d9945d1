"""Every Python block of the README and the documentation runs; so do its ``amad`` commands.

A block with ``<!-- continues -->`` above it goes on where the previous one of its page ended. A
block whose first line names a file is saved under that name, and run. Only blocks marked
``<!-- output -->`` or ``<!-- skip: reason -->`` are left alone.
"""

import os
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documentation.markdown_blocks import Block, blocks

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def pages_with(language: str) -> list[object]:
    """One parameter a page; pages that import TensorFlow share a worker."""
    found = []
    for page in PAGES:
        code = "".join(block.code for block in blocks(page) if block.language == language)
        if code:
            group = "tensorflow" if "tensorflow" in code or "keras" in code else page.name
            found.append(pytest.param(page, id=page.name, marks=pytest.mark.xdist_group(group)))
    return found


def save_files(page: Path, folder: Path) -> None:
    """Blocks that are files, into the folder where the page's commands run."""
    for block in blocks(page):
        if block.file_name:
            (folder / block.file_name).write_text(block.code, encoding="utf-8")


def run_python(block: Block, folder: Path, before: dict[str, object]) -> dict[str, object]:
    """Run one block as a file of its own that knows the names of ``before``."""
    script = folder / (block.file_name or f"{block.page.stem}_line_{block.line}.py")
    script.write_text(block.code, encoding="utf-8")
    return runpy.run_path(str(script), init_globals=before)


@pytest.mark.parametrize("page", pages_with("python"))
def test_python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_files(page, tmp_path)
    names: dict[str, object] = {}
    for block in blocks(page):
        if block.language != "python" or block.comment.startswith("skip:"):
            continue
        before = names if block.comment == "continues" else {}
        before = {name: value for name, value in before.items() if not name.startswith("__")}
        try:
            names = run_python(block, tmp_path, before)
        except Exception as error:
            raise AssertionError(f"{page.name}, line {block.line}: {error!r}") from error


def amad_commands(page: Path) -> list[tuple[str, int]]:
    """The ``amad`` commands of the page's shell blocks, and scripts of the page that they need.

    With the exit status that they announce.
    """
    scripts = {f"python {block.file_name}" for block in blocks(page)}
    commands = []
    for block in blocks(page):
        if block.language not in ("bash", "console") or block.comment.startswith("skip:"):
            continue
        for line in block.code.splitlines():
            command = line.removeprefix("$ ").strip()
            ours = command.startswith("amad ") and not command.startswith("amad demo")
            if ours or command in scripts:
                announced = "exit status 1" in command
                commands.append((command.split("  #")[0], 1 if announced else 0))
    return commands


@pytest.mark.parametrize("page", pages_with("bash"))
def test_amad_commands_run(page, tmp_path):
    save_files(page, tmp_path)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for command, status in amad_commands(page):
        done = subprocess.run(
            shlex.split(command), cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == status, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-2000:]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_block_is_left_out_without_a_reason(page):
    known = ("", "continues", "output")
    for block in blocks(page):
        assert block.comment in known or block.comment.startswith("skip: "), (
            f"{page.name}, line {block.line}: unknown comment {block.comment!r}"
        )
