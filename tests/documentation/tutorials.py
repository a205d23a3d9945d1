"""Runs tutorials as a user does who pastes their blocks in order.

``python -m tests.documentation.tutorials [NAME...]`` runs them whole, and puts the picture and the
table that come out into the documentation. The tests run them with the settings of a comment
``<!-- shortened: name = value; ... -->``, which take the place of those in the block below it.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.documentation.markdown_blocks import Block, blocks
from tests.support.beside import missing, prelude

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
PICTURES = ROOT / "docs" / "assets" / "tutorials"


def settings(block: Block) -> list[str]:
    """The assignments of a shortened run."""
    kind, _, rest = block.comment.partition(": ")
    return rest.split("; ") if kind == "shortened" else []


def script(page: Path, shortened: bool) -> str:
    """All Python blocks of a page, in order."""
    lines: list[str] = []
    for block in blocks(page):
        if block.language == "python":
            lines += [block.code, *(settings(block) if shortened else [])]
    return "\n".join(lines)


def needs(page: Path) -> str | None:
    """What is missing for a page, in words; ``None``: nothing."""
    return missing() if "import timm" in script(page, False) else None


def run(page: Path, folder: Path, *, shortened: bool) -> str:
    """Run a page in a folder, in a process of its own; what it printed."""
    code = script(page, shortened)
    if "import timm" in code:
        code = prelude() + code
    file = folder / f"{page.stem.replace('-', '_')}.py"
    file.write_text(code, encoding="utf-8")
    paths = [str(ROOT), str(ROOT / "adapters"), str(ROOT / "examples")]
    paths += filter(None, [os.environ.get("PYTHONPATH")])
    done = subprocess.run(
        [sys.executable, str(file)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise AssertionError(f"{page.name}\n{done.stdout[-1000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def table(page: Path, printed: str) -> str:
    """What a page printed, from the first line of its output block on."""
    (shown,) = (block for block in blocks(page) if block.comment == "output")
    start = shown.code.split("  ")[0].strip()
    return printed[printed.rindex(start) :].rstrip() + "\n"


def remake(page: Path) -> None:
    """Run a page whole; its picture and its table go into the documentation."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = table(page, run(page, folder, shortened=False))
        PICTURES.mkdir(parents=True, exist_ok=True)
        (PICTURES / f"{page.stem}.png").write_bytes((folder / f"{page.stem}.png").read_bytes())
    (shown,) = (block for block in blocks(page) if block.comment == "output")
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace(f"```text\n{shown.code}```", f"```text\n{found}```"))
    print(f"{page.name}\n{found}")


if __name__ == "__main__":
    for page in PAGES:
        if page.stem in sys.argv[1:] or not sys.argv[1:]:
            remake(page)
