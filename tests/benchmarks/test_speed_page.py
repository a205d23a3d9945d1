"""The page has the figures that were measured, and no others."""

import pytest
from PIL import Image

from benchmarks.speed.page import PAGE, PICTURES, RESULTS, written
from benchmarks.speed.results import SHOWN_IN, digest, read_all

REMEDY = "run python -m benchmarks.speed.page"


def test_tables_are_those_of_the_results() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert written(page, read_all(RESULTS)) == page, REMEDY
    assert page.count("<!-- measured: ") == page.count("<!-- end -->") > 10


def test_pictures_are_those_of_the_results() -> None:
    for name, parts in SHOWN_IN.items():
        assert f"(assets/{name}.png)" in PAGE.read_text(encoding="utf-8")
        with Image.open(PICTURES / f"{name}.png") as picture:
            assert picture.info["Source"] == digest(read_all(RESULTS), parts), f"{name}: {REMEDY}"


def test_a_changed_figure_changes_the_page() -> None:
    page = "before\n<!-- measured: maps times -->\n<!-- end -->\nafter"
    found = read_all(RESULTS)
    before = written(page, found)
    assert before.startswith("before\n")
    assert before.endswith("\nafter")
    assert written(before, found) == before
    first = next(iter(found["maps"].cases.values()))
    first.found["seconds"]["ours"][:] = [123.0]
    assert "| 123000 |" in written(before, found)
    with pytest.raises(ValueError, match="measured: times --> is none of the blocks: answer"):
        written(page.replace("maps times", "times"), found)
