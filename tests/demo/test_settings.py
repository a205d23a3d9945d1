"""The demo's students and words are the study's: same settings, same teacher, same findings."""

import json
from pathlib import Path
from typing import Any

import pytest

from amad_demo.conclusion import IN_THE_STUDY
from amad_demo.methods import METHODS, SEEDS, SHIPPED, cell_of
from amad_study.protocol.chosen import shipped_weights
from amad_study.protocol.condition import CONFIRMATION_SEEDS, TEACHERS, score_of
from amad_study.protocol.recipe import best_settings
from amad_study.runs.circumstances import teacher_facts
from amad_study.runs.records import read_record, read_records

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "results" / "study"
README = ROOT / "README.md"
RESULTS = ROOT / "docs" / "assets" / "study-results.json"


def in_one_line(page: Path) -> str:
    return " ".join(page.read_text(encoding="utf-8").split())


def test_both_attention_methods_have_the_settings_that_the_study_found() -> None:
    best = best_settings(read_records(STUDY))
    for name in ("amad", "one-to-one"):
        assert METHODS[name].cell == best[name]


def test_answers_have_the_weight_that_the_study_chose() -> None:
    cell = METHODS["answers"].cell
    assert cell.output_weight == shipped_weights()["vl-t5, logits, temperature 1"]


def test_the_seeds_are_the_first_that_the_recipe_was_confirmed_on_and_score_the_same() -> None:
    page = (ROOT / "docs" / "demo.md").read_text(encoding="utf-8")
    of_teacher = [seed for seed in CONFIRMATION_SEEDS if seed % TEACHERS == 0]
    assert list(SEEDS) == of_teacher[: len(SEEDS)]
    for name in ("amad", "one-to-one"):
        keys = [cell_of(name, seed).key for seed in SEEDS]
        found = [score_of(read_record(STUDY / "cells" / f"{key}.json")) for key in keys]
        assert " | {:.1f} / {:.1f} | ".format(*found) in page


def test_the_shipped_teacher_is_the_study_s() -> None:
    shipped = sorted(SHIPPED.iterdir())
    assert [path.suffix for path in shipped] == [".json", ".safetensors"]
    for path in shipped:
        assert path.read_bytes() == (STUDY / "teachers" / path.name).read_bytes()
    facts = teacher_facts(cell_of("amad", 0), SHIPPED)
    assert facts["name"] == shipped[0].stem
    assert facts["gate"]["passed"]


def of_recipe(name: str, peer: str) -> dict[str, Any]:
    recipe = json.loads(RESULTS.read_text(encoding="utf-8"))[name]
    (found,) = [one for one in recipe["findings"] if one["label"] == peer]
    assert found["planned"] == found["paired"]["count"] == {"recipe": 16, "recipe again": 32}[name]
    return {**found, **found["paired"]}


@pytest.mark.parametrize(
    ("peer", "words", "judged"),
    [
        (
            "one-to-one",
            "was {0[mean]:.1f} points ahead of one-to-one on sixteen seeds (95 % interval "
            "{0[low]:+.1f} to {0[high]:+.1f}), and {1[mean]:.1f} on 32 further ones "
            "({1[low]:+.1f} to {1[high]:+.1f}): not beyond doubt.",
            ("ahead", "undecided"),
        ),
        (
            "mean-head",
            "the mean of all heads, {0[mean]:+.1f} and then {1[mean]:+.1f}, are not either",
            ("undecided", "undecided"),
        ),
        (
            "best-match",
            "those on the best match, {0[mean]:.1f} and then {1[mean]:.1f}, are.",
            ("ahead", "ahead"),
        ),
    ],
)
def test_what_is_said_of_the_study_is_what_it_found(
    peer: str, words: str, judged: tuple[str, str]
) -> None:
    found = [of_recipe(name, peer) for name in ("recipe", "recipe again")]
    assert tuple(one["word"] for one in found) == judged
    for said in (IN_THE_STUDY, in_one_line(README)):
        assert words.format(*found) in said


def test_the_readme_says_what_the_recipe_is_worth_elsewhere() -> None:
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    found = results["recipe elsewhere"]["findings"]
    assert [len(one["differences"]) for one in found] == [12] * 6
    assert "ahead" not in {one["word"] for one in found}
    told = "Carried over to translation and captions, these settings put it ahead of none"
    assert told in in_one_line(README)
    by_signs = f"by signs with p = {of_recipe('recipe', 'one-to-one')['adjusted_sign']:.3f}"
    assert by_signs in in_one_line(ROOT / "docs" / "does-it-work.md")


def test_the_readme_says_what_attention_is_worth() -> None:
    hypotheses = json.loads(RESULTS.read_text(encoding="utf-8"))["hypotheses"]
    (asked,) = [one for one in hypotheses if one["name"] == "H10"]
    (found,) = [one["paired"] for one in asked["findings"] if one["label"] == "vl-t5, 600 steps"]
    page = in_one_line(README)
    assert "worth {mean:.1f} points of right answers".format(**found) in page
    assert "(95 % interval {low:.1f} to {high:.1f})".format(**found) in page


def test_the_readme_says_where_amad_is_ahead_and_behind_with_one_divergence() -> None:
    hypotheses = json.loads(RESULTS.read_text(encoding="utf-8"))["hypotheses"]
    decided = {
        (one["label"], one["hypothesis"]): one["paired"]["mean"]
        for asked in hypotheses
        for one in asked["findings"]
        if one["hypothesis"] in ("H1", "H2") and one["word"] in ("ahead", "behind")
    }
    assert set(decided) == {
        ("vl-t5, digit-translation", "H1"),
        ("vl-t5, digit-translation", "H2"),
        ("blip, digit-captions", "H2"),
    }
    ahead, one_to_one, best_match = (abs(decided[key]) for key in sorted(decided))
    page = in_one_line(README)
    lost = f"put AMAD {one_to_one:.1f} points behind one-to-one and {best_match:.1f} behind best"
    assert lost in page
    assert f"AMAD is {ahead:.1f} ahead of best match" in page


def test_the_readme_says_how_amad_stands_to_the_mean_map() -> None:
    beside = json.loads(RESULTS.read_text(encoding="utf-8"))["beside AMAD"]
    found = [one for one in beside if one["method"] == "mean-head-kl"]
    assert len(found) == 8
    assert all(one["low"] < 0 for one in found)
    means = [one["mean"] for one in found]
    told = f"lies between {-min(means):.1f} points behind and {max(means):.1f} ahead on two models"
    assert told in in_one_line(README)


def test_the_readme_says_what_attention_is_worth_to_students_of_minilm() -> None:
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))["sentences"]["rows"]
    without, taught = (
        [one["means"]["cosine"] for one in rows if (one["method"] == "ground-truth") == whether]
        for whether in (True, False)
    )
    told = (
        f"a cosine of {min(without):.1f} to {max(without):.1f} without, "
        f"{min(taught):.1f} to {max(taught):.1f} with it"
    )
    assert max(taught) < min(without)
    assert told in in_one_line(README)


def test_the_readme_says_what_is_left_with_weights_chosen_on_the_task() -> None:
    (found,) = json.loads(RESULTS.read_text(encoding="utf-8"))["own weights"]["findings"]
    assert found["word"] == "undecided"
    mean, low, high = (found["paired"][name] for name in ("mean", "low", "high"))
    told = f"one-to-one is {-mean:.1f} ahead (from {-low:.1f} ahead to {high:.1f} behind)"
    assert told in in_one_line(README)
