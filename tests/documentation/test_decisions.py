"""Each decision cited by number is on the page, and so is each file that a decision names."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "decisions.md").read_text()
TAKEN = re.findall(r"^### D(\d+) \{ #d(\d+) \}$", PAGE, re.MULTILINE)
SOURCES = ("amad_core", "adapters", "examples", "tests", "benchmarks", "docs")


def citations(text: str) -> set[str]:
    """The numbers of decisions that a text cites; ``""`` for a citation without any."""
    return set(
        map("".join, re.findall(r"\[D(\d*)\]|(?<![\w\[])D(\d+)\b|decisions\.md#d(\d+)", text))
    )


def cited() -> Iterator[tuple[Path, str]]:
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".md", ".mjs") and path != Path(__file__):
                for number in citations(path.read_text()):
                    yield path, number


def test_every_decision_that_is_cited_is_taken() -> None:
    numbers = {number for number, _ in TAKEN}
    assert [(str(path), number) for path, number in cited() if number not in numbers] == []


def test_numbers_are_given_once() -> None:
    numbers = [number for number, anchor in TAKEN if number == anchor]
    assert len(numbers) == len(set(numbers)) == PAGE.count("\n### ")


def test_every_file_that_a_decision_names_is_there() -> None:
    for name in re.findall(r"`([\w/*]+\.py)", PAGE):
        assert any(ROOT.glob(f"amad_core/**/{name}")) or any(ROOT.glob(name)), name


def test_citations_of_every_kind_are_found() -> None:
    text = "0 there [D]; see [D4], D15 and decisions.md#d3; not 3D, nor [D4x], nor MD5"
    assert citations(text) == {"", "4", "15", "3"}
