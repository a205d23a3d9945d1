"""The protocol as data: weights chosen as it says, stages that wait for them, paired scores."""

from collections.abc import Iterable
from typing import Any

import pytest

from amad_study.protocol.condition import (
    SEEDS,
    TUNING_SEEDS,
    cells_of,
    condition,
    score_of,
    tuned_as,
)
from amad_study.protocol.hypotheses import HYPOTHESES, hypothesis
from amad_study.protocol.hypothesis import Comparison
from amad_study.protocol.stages import QUICK_SEEDS, WEIGHTS, choose_weights, stages
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
    }


def records(cells: Iterable[Cell], score: Any) -> dict[str, dict[str, Any]]:
    return {cell.key: record(cell, score(cell)) for cell in cells}


def tuning() -> tuple[Cell, ...]:
    return stages({})[0].cells


def test_the_weight_with_the_best_mean_is_chosen() -> None:
    def score(cell: Cell) -> float:
        lucky = cell.weight == 1.0 and cell.seed == TUNING_SEEDS[0]
        return 80.0 if lucky else 50 + 10 * (cell.weight == 0.3)

    found = choose_weights(records(tuning(), score))
    assert found[tuned_as(AMAD)] == 0.3
    assert set(found.values()) == {0.3}
    level = choose_weights(records(tuning(), lambda _: 50.0))
    assert level[tuned_as(AMAD)] == min(WEIGHTS)


def test_no_weight_before_all_tries() -> None:
    done = records(tuning(), lambda _: 50.0)
    last = [key for key in done if Cell.from_json(done[key]["cell"]).method == "amad-kl"][-1]
    del done[last]
    assert tuned_as(AMAD) not in choose_weights(done)
    assert tuned_as(OTHER) in choose_weights(done)


def test_stages_wait_for_weights_and_have_no_cell_twice() -> None:
    assert not any(cell.weight for cell in stages({})[1].cells)
    plan = stages(records(tuning(), lambda cell: cell.weight))
    assert [stage.name for stage in plan] == ["tuning", *(one.name for one in HYPOTHESES)]
    keys = [cell.key for stage in plan for cell in stage.cells]
    assert len(keys) == len(set(keys))
    first = plan[1].cells
    assert {cell.seed for cell in first} == set(SEEDS)
    assert {cell.weight for cell in first} == {max(WEIGHTS)}
    assert {cell.teacher_seed for cell in first} == {0, 1, 2}


def test_every_method_has_the_same_tries() -> None:
    tries: dict[str, list[tuple[float, int]]] = {}
    for cell in tuning():
        tries.setdefault(tuned_as(cell), []).append((cell.weight, cell.seed))
    assert all(len(one) == len(WEIGHTS) * len(TUNING_SEEDS) for one in tries.values())
    assert not set(TUNING_SEEDS) & set(SEEDS)


def test_the_quick_study_is_a_part_of_the_full_one() -> None:
    weights = choose_weights(records(tuning(), lambda cell: cell.weight))
    full = {cell.key for stage in stages({}, weights=weights) for cell in stage.cells}
    quick = {cell.key for stage in stages({}, quick=True, weights=weights) for cell in stage.cells}
    assert quick < full
    assert set(QUICK_SEEDS) < set(SEEDS)


def test_differences_are_of_one_seed() -> None:
    weights = {tuned_as(AMAD): 0.1, tuned_as(OTHER): 0.3}
    comparison = Comparison("", AMAD, OTHER)
    done = records(cells_of(AMAD, weights), lambda cell: cell.seed)
    done |= records(cells_of(OTHER, weights)[1:], lambda cell: cell.seed - 100)
    assert comparison.pairs(done, weights) == [(seed, seed, seed - 100) for seed in SEEDS[1:]]
    assert comparison.pairs(done, {tuned_as(AMAD): 0.1}) == []
    other_weight = {tuned_as(AMAD): 0.1, tuned_as(OTHER): 1.0}
    assert comparison.pairs(done, other_weight) == []


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
