"""The search for a recipe: every pairing has as many tries, the best is confirmed once."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from amad_study.analysis.answer import answer
from amad_study.analysis.findings import find
from amad_study.analysis.recipe import (
    own_weights,
    recipe,
    recipe_again,
    recipe_elsewhere,
    verdict_of,
)
from amad_study.protocol.condition import (
    CONFIRMATION_SEEDS,
    FURTHER_SEEDS,
    SEEDS,
    TUNING_SEEDS,
)
from amad_study.protocol.hypotheses import hypothesis
from amad_study.protocol.recipe import (
    FIRST_ROUND,
    best_settings,
    cells_elsewhere,
    changed,
    confirmation_cells,
    on_tuning_seeds,
)
from amad_study.protocol.stages import stages
from amad_study.report.tables import recipe_table
from amad_study.runs.cell import Cell
from tests.study.synthetic import record


def level(cell: Cell) -> float:
    """AMAD's best is annealed with a weight of 0.3, released early; the others' are js."""
    if cell.method.startswith("amad"):
        best = cell.last_temperature == 0.1 and cell.weight == 0.3
        return 60 + 10 * best + 5 * (cell.release == 0.25)
    return 50 + 5 * (cell.method.endswith("js") and cell.weight == 0.1) - 10 * (cell.release < 1)


def records(cells: Iterable[Cell], noise: float = 0.0) -> dict[str, dict[str, Any]]:
    return {cell.key: record(cell, level(cell), noise) for cell in cells}


def first_rounds() -> dict[str, dict[str, Any]]:
    return records(on_tuning_seeds(one for settings in FIRST_ROUND.values() for one in settings))


def stage(name: str, done: dict[str, Any], **how: Any) -> tuple[Cell, ...]:
    (found,) = [one for one in stages(done, **how) if one.name == name]
    return found.cells


def test_the_first_round_is_run_anyway() -> None:
    planned = {cell.key for one in stages({}) for cell in one.cells}
    assert set(first_rounds()) <= planned
    assert {len(settings) for settings in FIRST_ROUND.values()} == {12}


def test_rounds_wait_for_each_other() -> None:
    done = first_rounds()
    assert stage("recipe, second round", {}) == stage("recipe", done) == ()
    tried = stage("recipe, second round", done)
    assert len(tried) == 4 * 5 * len(TUNING_SEEDS)
    assert {cell.seed for cell in tried} == set(TUNING_SEEDS)
    assert {cell.weight for cell in tried if cell.method == "amad-kl"} == {0.3}
    assert best_settings(done) == {}
    done |= records(tried[1:])
    assert best_settings(done) == {}
    done |= records(tried)
    assert stage("recipe, second round", done) == tried
    confirmed = stage("recipe", done)
    assert len(confirmed) == 4 * len(CONFIRMATION_SEEDS)
    assert not set(CONFIRMATION_SEEDS) & {*SEEDS, *TUNING_SEEDS}
    further = stage("recipe, further seeds", done)
    assert len(further) == 4 * len(FURTHER_SEEDS)
    assert not set(FURTHER_SEEDS) & {*CONFIRMATION_SEEDS, *SEEDS, *TUNING_SEEDS}
    elsewhere = stage("recipe, other tasks", done)
    assert len(elsewhere) == 4 * 2 * 12
    names = ("recipe, second round", "recipe", "recipe, further seeds", "recipe, other tasks")
    guessed = [len(stage(name, {}, guess=True)) for name in names]
    assert guessed == [len(tried), len(confirmed), len(further), len(elsewhere)]


def test_the_best_of_both_rounds_is_confirmed() -> None:
    done = first_rounds()
    done |= records(stage("recipe, second round", done))
    best = best_settings(done)
    assert (best["amad"].last_temperature, best["amad"].release) == (0.1, 0.25)
    assert (best["mean-head"].method, best["mean-head"].weight) == ("mean-head-js", 0.1)
    assert best["mean-head"] not in changed(best["mean-head"])
    found = recipe(done)
    assert found is not None
    assert found["word"] == "not complete"
    done |= records(confirmation_cells(best), noise=1.0)
    found = recipe(done)
    assert found is not None
    assert found["word"] == "supported"
    assert [len(one["differences"]) for one in found["findings"]] == [16] * 3
    assert [row["method"].rpartition("-")[0] for row in found["settings"]] == list(FIRST_ROUND)
    assert found["settings"][0]["mean"] == pytest.approx(75, abs=1.5)
    (judged,) = verdict_of(found)
    told = "So say all 3 comparisons. Mean differences, with confidence intervals: one-to-one +"
    assert told in judged.explanation


def test_further_seeds_are_judged_by_themselves() -> None:
    done = first_rounds()
    assert recipe_again(done) is None
    done |= records(stage("recipe, second round", done))
    best = best_settings(done)
    done |= records(confirmation_cells(best), noise=1.0)
    further = confirmation_cells(best, FURTHER_SEEDS)
    done |= records(further[1:], noise=1.0)
    found = recipe_again(done)
    assert found is not None
    assert (found["name"], found["word"]) == ("R2", "not complete")
    assert [len(one["differences"]) for one in found["findings"]] == [31] * 3
    level_there = {
        cell.key: record(cell, 50 + 5 * cell.method.startswith("mean"), 1.0) for cell in further
    }
    found, before = recipe_again(done | level_there), recipe(done | level_there)
    assert found is not None
    assert before is not None
    assert (found["word"], before["word"]) == ("in part contradicted", "supported")
    assert [one["planned"] for one in found["settings"]] == [32] * 4
    (again,), (confirmed,) = verdict_of(found), verdict_of(before)
    finding = find([hypothesis("H1")], done, {})[0]
    (line,) = answer([again, confirmed], [replace(finding, differences={"100": 1.0})])
    assert line["hypothesis"] == "R"
    assert confirmed.explanation in line["told"]
    assert f"On further seeds it is in part contradicted. {again.explanation}" in line["told"]


def test_other_tasks_have_the_settings_as_they_are() -> None:
    done = first_rounds()
    assert recipe_elsewhere(done) is None
    done |= records(stage("recipe, second round", done))
    best = best_settings(done)
    there = cells_elsewhere(best)
    tasks = ("digit-translation", "digit-captions")
    assert {replace(cell, seed=0, teacher_seed=0) for cell in there} == {
        replace(one, task=task) for one in best.values() for task in tasks
    }
    assert {cell.seed for cell in there} == set(range(300, 312))
    levels = {"digit-translation": 10, "digit-captions": -10}
    done |= {
        cell.key: record(cell, 50 + levels[cell.task] * cell.method.startswith("amad"), 1.0)
        for cell in there
    }
    found = recipe_elsewhere(done)
    assert found is not None
    assert (found["name"], found["word"]) == ("R3", "mixed")
    ahead = {one["label"] for one in found["findings"] if one["word"] == "ahead"}
    peers = ("one-to-one", "best-match", "mean-head")
    assert ahead == {f"vl-t5, digit-translation, {peer}" for peer in peers}
    assert [one["word"] for one in found["findings"]].count("behind") == 3
    headings = [row["heading"] for row in recipe_table(found["settings"])["rows"]]
    assert len(set(headings)) == 8
    assert headings[0].startswith("VL-T5, translation: AMAD")


def best_weight(cell: Cell) -> float:
    return {"amad-kl": 1.0, "one-to-one-kl": 0.1}.get(cell.method, 0.0)


def test_weights_of_its_own_are_chosen_on_translation_and_compared_on_the_seeds_that_count() -> (
    None
):
    def scored(cells: Iterable[Cell]) -> dict[str, dict[str, Any]]:
        return {
            cell.key: record(cell, 60 + 10 * (cell.weight == best_weight(cell)), noise=1.0)
            for cell in cells
        }

    tries = stage("translation, weights tried", {})
    assert len(tries) == 2 * 4 * len(TUNING_SEEDS)
    assert {(cell.task, cell.family) for cell in tries} == {("digit-translation", "vl-t5")}
    assert stage("translation, weights of its own", {}) == ()
    assert stage("translation, weights of its own", scored(tries[1:])) == ()
    done = scored(tries)
    compared = stage("translation, weights of its own", done)
    assert {cell.seed for cell in compared} == set(SEEDS)
    assert all(cell.weight == best_weight(cell) for cell in compared)
    found = own_weights(done)
    assert found is not None
    assert found["word"] == "not complete"
    found = own_weights(done | scored(compared))
    assert found is not None
    assert [row["weight"] for row in found["settings"]] == [1.0, 0.1]
    (only,) = found["findings"]
    assert len(only["differences"]) == len(SEEDS)
    assert found["word"] == "undecided"
    (judged,) = verdict_of(found)
    h1 = replace(judged, name="H1", word="mixed", explanation="Of 6 some.")
    finding = find([hypothesis("H1")], done, {})[0]
    (only_line,) = answer([judged, h1], [replace(finding, differences={"100": 1.0})])
    assert only_line["told"].startswith("It depends. Of 6 some. With weights chosen on translation")
    assert judged.explanation in only_line["told"]


def test_keys_of_cells_without_release_stay() -> None:
    """Records are found by them."""
    cell = Cell("vl-t5", "digit-questions", "amad-kl", 0, weight=0.3)
    assert cell.key == "digit-questions-vl-t5-amad-kl-0-23b20f6dd615"
    later = Cell.from_json({**cell.as_json(), "release": 0.5})
    assert later.key != cell.key
    assert Cell.from_json(later.as_json()) == later
    with pytest.raises(ValueError, match=r"release is 0\.0, expected more than 0"):
        Cell.from_json({**cell.as_json(), "release": 0.0})
