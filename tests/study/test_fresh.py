"""Comparisons of the protocol on seeds of one's own: which cells, how judged, what is refused."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from amad_study.command import study
from amad_study.command.fresh import answer_of, as_json
from amad_study.protocol.chosen import shipped_recipe, shipped_weights
from amad_study.protocol.condition import cells_of, tuned_as
from amad_study.protocol.fresh import USED, asked_afresh, fresh_cells, named
from amad_study.protocol.hypotheses import hypothesis
from amad_study.runs.cell import Cell
from amad_study.runs.records import read_records
from tests.study.synthetic import write

SEEDS = range(1000, 1012)
QUESTIONS = "vl-t5, digit-questions"


def test_a_hypothesis_keeps_all_but_its_seeds() -> None:
    asked, weights = asked_afresh("H1", [*SEEDS, 1000])
    assert [one.label for one in asked.comparisons] == [
        one.label for one in hypothesis("H1").comparisons
    ]
    assert {one.seeds for one in asked.comparisons} == {tuple(SEEDS)}
    cells = fresh_cells(asked, weights)
    assert len(cells) == 2 * 6 * len(SEEDS)
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells)
    assert {cell.weight for cell in cells if cell.family == "vl-t5"} == {
        shipped_weights()[f"vl-t5, {method}-kl, temperature 1"] for method in ("amad", "one-to-one")
    }
    (only,) = asked_afresh("H1", SEEDS, [QUESTIONS])[0].comparisons
    assert only.label == QUESTIONS


@pytest.mark.parametrize("name", named())
def test_no_side_of_a_comparison_is_without_cells(name: str) -> None:
    """As it would be without a weight that the study chose."""
    asked, weights = asked_afresh(name, SEEDS)
    for one in asked.comparisons:
        for side in (one.first, one.second):
            assert len(cells_of(side, weights, one.seeds)) == len(SEEDS)


def test_the_recipe_has_its_settings() -> None:
    asked, weights = asked_afresh("R", SEEDS)
    assert asked.name == "R"
    cells = fresh_cells(asked, weights)
    assert len(cells) == 4 * len(SEEDS)
    best = shipped_recipe()
    expected = {cell for one in best.values() for cell in cells_of(one, weights, tuple(SEEDS))}
    assert set(cells) == expected
    assert {tuned_as(one): one.weight for one in best.values()} == weights


@pytest.mark.parametrize("lead", [10.0, -10.0, 0.0])
def test_fresh_seeds_are_judged_by_themselves(tmp_path: Path, lead: float) -> None:
    def level(cell: Cell) -> float:
        return 50.0 + lead * (cell.method == "amad-kl")

    asked, weights = asked_afresh("H1", SEEDS, [QUESTIONS])
    write(tmp_path, fresh_cells(asked, weights), level)
    others = cells_of(hypothesis("H1").comparisons[0].first, weights)
    write(tmp_path, others, lambda _: 0.0)  # of the study's own seeds, in the same folder
    found = answer_of(asked, weights, tmp_path)
    word = {10.0: "supported", -10.0: "contradicted", 0.0: "undecided"}[lead]
    assert found.verdict.word == word
    (only,) = found.findings
    assert set(only.differences) == {str(seed) for seed in SEEDS}
    assert only.paired is not None
    assert only.paired.mean == pytest.approx(lead, abs=2)
    # One comparison: nothing is corrected.
    assert only.adjusted_t == only.paired.t_p
    told = as_json(found)
    assert json.loads(json.dumps(told, allow_nan=False))["seeds"] == list(SEEDS)


def test_a_seed_that_is_missing_gives_no_verdict(tmp_path: Path) -> None:
    asked, weights = asked_afresh("H1", SEEDS, [QUESTIONS])
    write(tmp_path, fresh_cells(asked, weights)[1:], lambda _: 50.0)
    found = answer_of(asked, weights, tmp_path)
    assert found.verdict.word == "not complete"
    assert found.findings[0].missing == (1000,)


@pytest.mark.parametrize(
    ("name", "seeds", "labels", "said"),
    [
        ("H0", "1000-1011", [], "name is 'H0', expected one of H1, "),
        ("H1", "1000", [], "seeds are 1000, expected at least two"),
        ("H1", "1000,1000", [], "expected at least two"),
        ("H1", "1011-1000", [], "seeds are none, expected at least two"),
        ("H1", "99-101", [], "seeds have 100, 101, which the study used"),
        ("R", "215,331,1000", [], "seeds have 215, 331, which the study used"),
        ("H1", "1000-", [], "--seeds is '1000-', expected numbers and ranges"),
        ("H1", "-3", [], "--seeds is '-3', expected numbers and ranges"),
        ("H1", "1e3,7", [], "--seeds is '1e3,7', expected numbers and ranges"),
        ("H1", "1000-1011", ["questions"], "label is 'questions', expected one of: vl-t5, digit"),
        ("H3", "1000-1011", ["vl-t5, 1 step"], "H3 is judged from all its comparisons together"),
    ],
)
def test_what_is_refused(
    name: str, seeds: str, labels: list[str], said: str, tmp_path: Path
) -> None:
    options = [part for label in labels for part in ("--label", label)]
    asked = ["fresh", name, f"--seeds={seeds}", "--folder", str(tmp_path / "fresh"), *options]
    done = CliRunner().invoke(study, asked)
    assert done.exit_code == 2
    assert said in done.output
    assert not (tmp_path / "fresh").exists()


def test_no_seed_of_the_committed_results_is_fresh() -> None:
    results = Path(__file__).parents[2] / "results" / "study"
    assert {record["cell"]["seed"] for record in read_records(results).values()} <= USED


def test_the_command_says_what_came_out(tmp_path: Path) -> None:
    """Nothing is left to be trained; `test_command` trains."""
    asked, weights = asked_afresh("H4", SEEDS, [QUESTIONS])
    write(tmp_path, fresh_cells(asked, weights), lambda cell: 50.0)
    options = ["--seeds", "1000-1011", "--label", QUESTIONS, "--folder", str(tmp_path)]
    done = CliRunner().invoke(study, ["fresh", "H4", *options], env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    assert "to train" not in done.output
    said = " ".join(done.output.split())
    assert re.search(
        r"VL-T5, questions: AMAD, KL − one-to-one, KL ratio of spreads \d\.\d\d; 12 of 12 seeds; "
        r"p \d\.\d+ \(Levene\): undecided",
        said,
    )
    assert "Undecided, by these seeds alone. Ratio of spreads" in said
    done = CliRunner().invoke(study, ["fresh", "H1", *options], env={"COLUMNS": "60"})
    said = " ".join(done.output.split())
    number = r"[+−]\d\.\d"
    assert re.search(
        rf"{number} points \({number} to {number}\), d [−\d.]+; 12 of 12 seeds; "
        r"p \d\.\d+ by the t-test, \d\.\d+ by signs: undecided",
        said,
    )
