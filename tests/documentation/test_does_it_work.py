"""The page "Does it work?" shows what committed results say, and nothing where there are none."""

import json
from pathlib import Path

import pytest

pytest.importorskip("sacrebleu")

from amad_study.report.documentation import filled_page
from amad_study.report.picture_files import picture_files
from tests.support.study_results import costs_to_students_of_minilm

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "does-it-work.md"
NOTHING = {"hypotheses": [], "sentences": {"rows": []}}
RESULTS = ROOT / "docs" / "assets" / "study-results.json"


def test_the_page_shows_the_committed_results() -> None:
    """Else: `amad study page docs/does-it-work.md --results docs/assets/study-results.json`."""
    text = PAGE.read_text(encoding="utf-8")
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else None
    assert filled_page(text, results) == text
    assert ("No result is shown yet" in text) == (results is None)
    for name, picture in picture_files(results or NOTHING).items():
        assert (RESULTS.parent / name).read_text(encoding="utf-8") == picture, name
        assert f"(assets/{name})" in text


def test_the_answer_in_five_lines_is_what_was_found() -> None:
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    said = text[text.index("## The answer") : text.index("What that rests on:")]
    worth = results["worth"]
    gains = [one["most"] - one["without"] for one in worth]
    assert len(gains) == 8
    assert min(gains) > 0
    assert f"worth up to {max(gains):.1f} points" in said
    costs = [one["without"] - one["least"] for one in worth if one["least"] < one["without"]]
    (alone,) = costs
    assert f"best match alone cost {alone:.1f} points in one of them" in said
    means = {
        one["method"]: one["mean"]
        for one in results["scores"]
        if (one["family"], one["task"], one["settings"]) == ("blip", "digit-captions", "")
    }
    below = [name for name, mean in means.items() if mean < means["logits"]]
    assert [name for name in below if name != "ground-truth"] == ["best-match-kl"]
    beside = [one for one in results["beside AMAD"] if one["method"] == "mean-head-kl"]
    assert [sum(one["low"] > 0 for one in beside), sum(one["high"] < 0 for one in beside)] == [0, 4]
    assert len(beside) == 8
    (h1,) = [one for one in results["hypotheses"] if one["name"] == "H1"]
    assert sorted(one["word"] for one in h1["findings"]) == ["behind"] + ["undecided"] * 5
    words = {
        (name, one["label"]): one["word"]
        for name in ("recipe", "recipe again")
        for one in results[name]["findings"]
    }
    assert words["recipe", "one-to-one"] == "ahead"
    assert words["recipe again", "one-to-one"] == "undecided"
    assert words["recipe", "best-match"] == words["recipe again", "best-match"] == "ahead"
    cost = costs_to_students_of_minilm(results)
    assert f"cost text students {min(cost):.1f} to {max(cost):.1f} points of cosine" in said


def test_a_figure_changed_by_hand_is_found() -> None:
    text = PAGE.read_text(encoding="utf-8")
    mark = "<!-- figures: answer -->\n"
    assert filled_page(text.replace(mark, f"{mark}AMAD wins.\n"), None) != text.replace(
        mark, f"{mark}AMAD wins.\n"
    )
