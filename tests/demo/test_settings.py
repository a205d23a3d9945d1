"""The demo's students and words are the study's: same settings, same teacher, same findings."""

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from amad_demo.conclusion import IN_THE_STUDY
from amad_demo.methods import METHODS, SEEDS, SHIPPED, cell_of
from amad_study.protocol.chosen import shipped_weights
from amad_study.protocol.condition import CONFIRMATION_SEEDS, TEACHERS, WEIGHTS, score_of
from amad_study.protocol.recipe import best_settings
from amad_study.runs.circumstances import teacher_facts
from amad_study.runs.records import read_record, read_records
from tests.support.study_results import costs_to_students_of_minilm

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
            "({1[low]:+.1f} to {1[high]:+.1f}), which the tests do not find;",
            ("ahead", "undecided"),
        ),
        (
            "mean-head",
            "nor do they its leads on the mean of all heads, {0[mean]:+.1f} and then "
            "{1[mean]:+.1f}.",
            ("undecided", "undecided"),
        ),
        (
            "best-match",
            "Those on the best match, {0[mean]:.1f} and then {1[mean]:.1f}, they find both times",
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
    of = {one["label"].removeprefix("vl-t5, digit-"): one["paired"] for one in found}
    page = in_one_line(README)
    behind = "{0:.1f} behind {1} ({2[low]:+.1f} to {2[high]:+.1f})"
    for peer, name in (("mean-head", "the mean of all heads"), ("one-to-one", "one-to-one")):
        there = of[f"translation, {peer}"]
        assert behind.format(-there["mean"], name, there) in page
        level = of[f"captions, {peer}"]
        assert level["low"] < -4 < 4 < level["high"]
    ahead = [of[f"{task}, best-match"]["mean"] for task in ("translation", "captions")]
    assert f"and {ahead[0]:.1f} ahead of best match; in captions" in page
    assert f"and {ahead[1]:.1f} ahead of best match. " in page


def test_the_page_says_how_sure_the_recipe_is() -> None:
    page = in_one_line(ROOT / "docs" / "does-it-work.md")
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    amad, _, best_match, _ = (one["seeds"] for one in results["recipe again"]["settings"])
    by_teacher = [
        fmean(amad[seed] - best_match[seed] for seed in amad if int(seed) % TEACHERS == teacher)
        for teacher in range(TEACHERS)
    ]
    told = "By teacher it is {:+.1f}, {:+.1f} and {:+.1f} points".format(*by_teacher)
    assert told.replace("-", "−") in page
    first = of_recipe("recipe", "one-to-one")
    assert "It was {mean:+.1f}, with p = {adjusted_t:.3f} by the t-test".format(**first) in page
    assert "and {adjusted_sign:.3f} by signs;".format(**first) in page
    again = "{mean:+.1f}, from {low:+.1f} to {high:+.1f}, is smaller"
    assert again.format(**of_recipe("recipe again", "one-to-one")).replace("-", "−") in page
    score = {
        one["settings"]: one["mean"]
        for one in results["scores"]
        if (one["family"], one["task"], one["method"])
        == ("vl-t5", "digit-questions", "mean-head-kl")
    }
    told = (
        f"scores {score['layer map first']:.1f} on the seeds 100 to 111, where the chosen one has"
    )
    assert f"{told} {score['']:.1f}." in page
    greatest = max(WEIGHTS)
    assert {one["weight"] for one in results["recipe"]["settings"]} == {greatest}
    assert {one["weight"] for one in results["own weights"]["settings"]} == {greatest}
    assert results["weights"]["vl-t5, amad-kl, temperature 1"] == 0.3
    assert results["weights"]["vl-t5, one-to-one-kl, temperature 1"] == greatest


def test_the_readme_says_what_attention_is_worth() -> None:
    beside = json.loads(RESULTS.read_text(encoding="utf-8"))["beside AMAD"]
    (found,) = [
        one
        for one in beside
        if (one["family"], one["task"], one["method"]) == ("vl-t5", "digit-questions", "logits")
    ]
    page = in_one_line(README)
    assert "worth {mean:.1f} points of right answers".format(**found) in page
    assert "(95 % interval {low:.1f} to {high:.1f};".format(**found) in page


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
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    rows = results["sentences"]["rows"]
    without, taught = (
        [one["means"]["cosine"] for one in rows if (one["method"] == "ground-truth") == whether]
        for whether in (True, False)
    )
    attended = [one for one in rows if one["method"] != "ground-truth"]
    cost = costs_to_students_of_minilm(results)
    assert len(cost) == 16
    assert {one["weight"] for one in attended} == {min(WEIGHTS)}
    told = (
        f"attention cost {min(cost):.1f} to {max(cost):.1f} points of cosine "
        f"({min(without):.1f} to {max(without):.1f} without, "
        f"{min(taught):.1f} to {max(taught):.1f} with it), at the least weight"
    )
    assert max(taught) < min(without)
    assert told in in_one_line(README)


def test_the_readme_says_what_is_left_with_weights_chosen_on_the_task() -> None:
    (found,) = json.loads(RESULTS.read_text(encoding="utf-8"))["own weights"]["findings"]
    assert found["word"] == "undecided"
    mean, low, high = (found["paired"][name] for name in ("mean", "low", "high"))
    told = f"one-to-one is {-mean:.1f} ahead (from {-low:.1f} ahead to {high:.1f} behind)"
    assert told in in_one_line(README)
