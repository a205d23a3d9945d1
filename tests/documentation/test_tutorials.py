"""Every tutorial runs, block after block, with fewer steps, and ends in what its page shows."""

import ast
import re
import struct
from pathlib import Path

import pytest

from tests.documentation.markdown_blocks import blocks
from tests.documentation.tutorials import PAGES, PICTURES, ROOT, needs, run, settings, table

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def names_of_rows(printed: str) -> list[str]:
    return [re.split(r" {2,}", line)[0] for line in printed.strip().splitlines()]


def size(picture: Path) -> tuple[int, ...]:
    """Width and height that a PNG's header says."""
    header = picture.read_bytes()[:24]
    assert header.startswith(b"\x89PNG")
    return struct.unpack(">2I", header[16:])


def named_keras(is_keras: bool) -> pytest.MarkDecorator:
    """The pages about Keras, or the others."""
    chosen = [page for page in PAGES if page.stem.startswith("keras") == is_keras]
    return pytest.mark.parametrize("page", chosen, ids=lambda page: page.stem)


@pytest.mark.xdist_group("tutorials")  # one at a time: each takes a core
@named_keras(False)
def test_it_runs_and_ends_in_its_picture(page: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    check_run(page, tmp_path)


@pytest.mark.xdist_group("tutorials")
@pytest.mark.thin(3)  # TensorFlow traces for most of the time
@named_keras(True)
def test_one_in_keras_runs_too(page: Path, tmp_path: Path) -> None:
    pytest.importorskip("keras_hub")
    check_run(page, tmp_path)


def check_run(page: Path, tmp_path: Path) -> None:
    if missing := needs(page):
        pytest.skip(missing)
    printed = table(page, run(page, tmp_path, shortened=True))
    (shown,) = (block.code for block in blocks(page) if block.comment == "output")
    assert names_of_rows(printed) == names_of_rows(shown)
    assert size(tmp_path / f"{page.stem}.png") == size(PICTURES / f"{page.stem}.png")


@pages
def test_only_settings_are_shortened(page: Path) -> None:
    (block,) = (block for block in blocks(page) if settings(block))
    assigned = {
        target.id: ast.literal_eval(node.value)
        for node in ast.parse(block.code).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for line in settings(block):
        name, _, value = line.partition(" = ")
        assert type(ast.literal_eval(value)) is type(assigned[name]), line


@pages
def test_nothing_is_left_out(page: Path) -> None:
    assert [
        block.comment
        for block in blocks(page)
        if block.language in ("python", "text")
        and block.comment not in ("continues", "output")
        and not settings(block)
    ] == []


@pages
def test_it_can_be_found(page: Path) -> None:
    shown = re.findall(r"!\[[^]]+\]\(\.\./assets/tutorials/([\w-]+)\.png\)", page.read_text())
    assert shown == [page.stem]
    assert f"(docs/tutorials/{page.name})" in (ROOT / "README.md").read_text()
    navigation = (ROOT / "mkdocs.yml").read_text()
    assert f"- tutorials/{page.name}\n" in navigation


def test_there_are_six() -> None:
    assert len(PAGES) == 6
