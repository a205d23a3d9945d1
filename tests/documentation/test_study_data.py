"""The figures on the page about the study's data are those that were measured."""

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "study-data.md").read_text(encoding="utf-8")
MEASURED: dict[str, Any] = json.loads((ROOT / "benchmarks/results/study_data.json").read_text())

SPLITS = ("train", "validation", "test")
TASKS = ("digit-questions", "digit-captions", "digit-translation", "easy-vqa")


def row(*cells: object) -> str:
    return "|" + "".join(f" {cell} |" if cell != "" else " |" for cell in cells)


def digits() -> list[str]:
    return [row(split, *MEASURED["digits"][split]) for split in SPLITS]


def composition() -> list[str]:
    asked = ("words", "longest source", "longest target", "different sources")
    return [
        row(f"`{name}`", *(MEASURED["composition"][name][one] for one in asked)) for name in TASKS
    ]


def digits_in_scenes() -> list[str]:
    return [row(f"`{name}`", *MEASURED["digits in a scene"][name].values()) for name in TASKS[:3]]


def questions() -> list[str]:
    found = MEASURED["digit-questions"]
    names = ["accuracy", *(name for name in found["learned from words"] if name != "accuracy")]
    shown = found["digits shown"]
    return [
        row(
            name.removeprefix("accuracy: ").replace("accuracy", "all"),
            found["most frequent answer"][name],
            found["learned from words"][name],
            shown.get(name.removeprefix("accuracy: "), ""),
        )
        for name in names
    ]


def captions() -> list[str]:
    found = MEASURED["digit-captions"]
    asked = ("BLEU", "fact F1", "fact precision", "fact recall")
    return [row(name, *(scores[one] for one in asked)) for name, scores in found.items()]


def translation() -> list[str]:
    asked = ("BLEU", "ambiguous words", "sides", "nouns")
    return [
        row(name, *(scores.get(one, "") for one in asked))
        for name, scores in MEASURED["digit-translation"].items()
    ]


def easy_vqa() -> list[str]:
    guessed, learned = (
        MEASURED["easy-vqa"][name] for name in ("most frequent answer", "learned from words")
    )
    return [
        row(
            name.removeprefix("accuracy: ").replace("accuracy", "all"), guessed[name], learned[name]
        )
        for name in guessed
    ]


@pytest.mark.parametrize(
    "rows",
    [digits, composition, digits_in_scenes, questions, captions, translation, easy_vqa],
)
def test_a_table_has_the_rows_that_were_measured(rows: Any) -> None:
    assert [one for one in rows() if one not in PAGE] == []


def test_the_page_says_what_was_counted() -> None:
    easy = MEASURED["composition"]["easy-vqa"]["examples"]
    assert "{:,}, {:,} and {:,}".format(*easy) in PAGE
    equal = MEASURED["easy-vqa"]["equal pictures"]
    assert f"{equal['train and test']} pictures of the test split" in " ".join(PAGE.split())
