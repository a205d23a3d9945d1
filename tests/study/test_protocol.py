"""The protocol as data: weights chosen as it says, stages that wait for them, paired scores."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from amad_study.analysis.evidence import evidence_of
from amad_study.protocol.condition import (
    CONFIRMATION_SEEDS,
    FURTHER_SEEDS,
    SEEDS,
    TUNING_SEEDS,
    WEIGHTS,
    cells_of,
    condition,
    score_of,
    tuned_as,
)
from amad_study.protocol.hypotheses import HYPOTHESES, TEMPERATURES, hypothesis
from amad_study.protocol.hypothesis import Comparison
from amad_study.protocol.recipe import SEEDS_ELSEWHERE
from amad_study.protocol.stages import ORDER, QUICK_SEEDS, choose_weights, stages
from amad_study.protocol.tables import LATER_TABLES, MAIN_METHODS
from amad_study.runs.cell import Cell

AMAD = condition("vl-t5", "digit-questions", "amad-kl")
OTHER = condition("vl-t5", "digit-questions", "one-to-one-kl")


def record(cell: Cell, score: float) -> dict[str, Any]:
    half = cell.steps // 2
    return {
        "cell": cell.as_json(),
        "main score": "accuracy",
        "scores": {"accuracy": score, "accuracy: 1 step": score + 1},
        "curve": [(half, score / 2), (cell.steps, score)],
        "heads": {"before": {"layer": {"teacher": 0.5}}},
    }


def records(cells: Iterable[Cell], score: Any) -> dict[str, dict[str, Any]]:
    return {cell.key: record(cell, score(cell)) for cell in cells}


def tuning() -> tuple[Cell, ...]:
    return tuple(
        cell for stage in stages({}) if stage.name.startswith("weights") for cell in stage.cells
    )


def test_the_weight_with_the_best_mean_is_chosen() -> None:
    def score(cell: Cell) -> float:
        lucky = cell.weight == 1.0 and cell.seed == TUNING_SEEDS[0]
        return 80.0 if lucky else 50 + 10 * (cell.weight == 0.3)

    found = choose_weights(records(tuning(), score))
    assert found[tuned_as(AMAD)] == 0.3
    assert found[tuned_as(OTHER)] == 0.3
    assert tuned_as(replace(AMAD, temperature=10.0)) in found
    assert tuned_as(replace(AMAD, method="ground-truth")) not in found
    level = choose_weights(records(tuning(), lambda _: 50.0))
    assert level[tuned_as(AMAD)] == min(WEIGHTS)


def test_no_weight_before_all_tries() -> None:
    done = records(tuning(), lambda _: 50.0)
    tries = [key for key in done if tuned_as(Cell.from_json(done[key]["cell"])) == tuned_as(AMAD)]
    assert len(tries) == len(WEIGHTS) * len(TUNING_SEEDS)
    del done[tries[-1]]
    assert tuned_as(AMAD) not in choose_weights(done)
    assert tuned_as(OTHER) in choose_weights(done)


def test_seeds_without_a_teacher_choose_nothing_and_divergence_counts_as_nothing() -> None:
    done = records(tuning(), lambda cell: 50 + cell.weight - 100 * (cell.seed == 1))
    for one in done.values():
        if one["cell"]["seed"] == 1:
            one.clear()
            one["refused"] = "does not look"
    assert choose_weights(done)[tuned_as(AMAD)] == 1.0
    for one in done.values():
        if one.get("cell", {}).get("weight") == 1.0:
            one["diverged"] = "the loss is nan"
    assert choose_weights(done)[tuned_as(AMAD)] == 0.3
    assert choose_weights({key: {"refused": ""} for key in done}) == {}


def test_stages_wait_for_weights_and_have_no_cell_twice() -> None:
    waiting = stages({})
    assert [stage.name for stage in waiting[:3]] == ["weights for H1", "H1", "weights for H2"]
    assert not waiting[1].cells
    plan = stages(records(tuning(), lambda cell: cell.weight))
    assert [stage.name for stage in plan] == [stage.name for stage in waiting]
    assert {item.name for item in ORDER} <= {stage.name.split(", further")[0] for stage in plan}
    keys = [cell.key for stage in plan for cell in stage.cells]
    assert len(keys) == len(set(keys))
    first = plan[1].cells
    assert {cell.seed for cell in first} == set(SEEDS)
    assert {cell.weight for cell in first} == {max(WEIGHTS)}
    assert {cell.teacher_seed for cell in first} == {0, 1, 2}


def test_every_method_has_the_same_tries() -> None:
    tries: dict[str, set[tuple[float, float, int]]] = {}
    for cell in tuning():
        told = (cell.weight, cell.output_weight, cell.seed)
        tries.setdefault(tuned_as(cell), set()).add(told)
    assert all(len(one) == len(WEIGHTS) * len(TUNING_SEEDS) for one in tries.values())
    assert not set(TUNING_SEEDS) & set(SEEDS)


def test_the_quick_study_is_a_part_of_the_full_one() -> None:
    weights = choose_weights(records(tuning(), lambda cell: cell.weight))
    full = {cell.key for stage in stages({}, weights=weights) for cell in stage.cells}
    part = [cell for stage in stages({}, quick=True, weights=weights) for cell in stage.cells]
    assert {cell.key for cell in part} < full
    assert {cell.teacher_seed for cell in part} == {0}
    assert {"amad-kl", "one-to-one-kl", "mean-head-kl", "logits"} < {cell.method for cell in part}
    assert set(QUICK_SEEDS) < set(SEEDS)


def test_later_tables_come_last_and_take_weights_as_they_are() -> None:
    tuned = records(tuning(), lambda cell: cell.weight)
    last = stages(tuned)[-len(LATER_TABLES) :]
    assert [stage.name for stage in last] == ["vl-t5, easy-vqa", "blip, easy-vqa"]
    cells = [cell for stage in last for cell in stage.cells]
    assert len(cells) == 2 * len(MAIN_METHODS) * len(SEEDS)
    assert {cell.task for cell in cells} == {"easy-vqa"}
    assert {cell.task for cell in tuning()} == {"digit-questions"}
    assert {cell.weight for cell in cells if cell.method == "amad-kl"} == {max(WEIGHTS)}


def test_differences_are_of_one_seed() -> None:
    weights = {tuned_as(AMAD): 0.1, tuned_as(OTHER): 0.3}
    comparison = Comparison("", AMAD, OTHER)
    done = records(cells_of(AMAD, weights), lambda cell: cell.seed)
    done |= records(cells_of(OTHER, weights)[1:], lambda cell: cell.seed - 100)
    found = evidence_of(comparison, done, weights)
    assert found.first == {seed: seed for seed in SEEDS[1:]}
    assert found.differences == dict.fromkeys(SEEDS[1:], 100)
    assert found.missing == SEEDS[:1]
    assert evidence_of(comparison, done, {tuned_as(AMAD): 0.1}).missing == SEEDS
    other_weight = {tuned_as(AMAD): 0.1, tuned_as(OTHER): 1.0}
    assert evidence_of(comparison, done, other_weight).missing == SEEDS


def test_scores_by_name() -> None:
    one = record(AMAD, 60.0)
    assert score_of(one) == 60
    assert score_of(one, "half") == 30
    assert score_of(one, "accuracy: 1 step") == 61
    with pytest.raises(KeyError):
        score_of(one, "magic")


def test_hypotheses_by_name() -> None:
    assert hypothesis("H1").judged.name == "EACH"
    assert len({one.name for one in HYPOTHESES}) == len(HYPOTHESES)
    with pytest.raises(ValueError, match="name is 'H0', expected one of H1, "):
        hypothesis("H0")


def test_the_page_says_what_the_plan_does() -> None:
    assert [one.name for one in HYPOTHESES if one.one_suffices] == ["H7"]  # "a temperature"
    page = (Path(__file__).parents[2] / "docs" / "study-protocol.md").read_text()
    told = " ".join(page.split())
    for one in HYPOTHESES:
        assert f"| {one.name} | {one.sentence} |" in page
    assert f"are {SEEDS[0]} to {SEEDS[-1]}" in told
    assert f"on the seeds {TUNING_SEEDS[0]}, {TUNING_SEEDS[1]} and {TUNING_SEEDS[2]}" in told
    assert f"{CONFIRMATION_SEEDS[0]} to {CONFIRMATION_SEEDS[-1]}" in told
    further = f"{FURTHER_SEEDS[0]} to {FURTHER_SEEDS[-1]}, {4 * len(FURTHER_SEEDS)} students"
    assert f"on the seeds {further}" in told
    there = f"{SEEDS_ELSEWHERE[0]} to {SEEDS_ELSEWHERE[-1]}, {8 * len(SEEDS_ELSEWHERE)} students"
    assert f"on the seeds {there}" in told
    assert "{}, {}, {} and {:g} in units of gradient parity".format(*WEIGHTS) in told
    quick = "{}, {}, {} and {}".format(*QUICK_SEEDS)
    assert f"has the seeds {quick}" in told
    usual = f"{AMAD.steps} steps of {AMAD.batch_size} examples out of {AMAD.train_examples:,}"
    assert usual in told
    assert f"{AMAD.teacher_steps:,} steps of 64" in told
    assert f"({AMAD.test_examples:,} examples)" in told
    assert all(f"{temperature:g}" in told for temperature in TEMPERATURES)
