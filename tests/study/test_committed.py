"""The results in this repository: whole, of the plan, and the same wherever they are shown."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from amad_study.analysis.outlook import plan_weights, untuned, whole_plan
from amad_study.analysis.summary import summarise
from amad_study.command import study
from amad_study.protocol import chosen
from amad_study.protocol.condition import condition, tuned_as
from amad_study.protocol.recipe import best_settings
from amad_study.protocol.stages import choose_weights
from amad_study.runs.records import read_records, read_teachers

RESULTS = Path(__file__).parents[2] / "results" / "study"


def test_the_quick_study_takes_the_weights_that_were_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    amad, logits = (
        tuned_as(condition("vl-t5", "digit-questions", method)) for method in ("amad-kl", "logits")
    )
    (tmp_path / "weights.json").write_text(json.dumps({amad: 0.1}))
    monkeypatch.setattr(chosen, "FILE", tmp_path / "weights.json")
    weights = plan_weights({}, quick=True)
    assert weights[amad] == 0.1
    assert weights[logits] == 0.3
    assert plan_weights({}) == {}
    assert amad not in (missing := untuned({}))
    assert logits in missing
    assert all(weights[name] == 0.3 for name in missing)
    quick = ["--quick", "--folder", str(tmp_path), "--plan"]
    said = " ".join(CliRunner().invoke(study, quick).output.split())
    assert f"for {len(missing)} ways of teaching, which are run with 0.3" in said
    assert "VL-T5, teacher's answers;" in said
    assert "VL-T5, AMAD, KL;" not in said
    told = json.loads(CliRunner().invoke(study, [*quick, "--json"]).output)
    assert told["untuned"] == missing


def test_the_weights_that_are_shipped_are_those_of_the_records() -> None:
    """If not: `amad study weights results/study > examples/amad_study/protocol/weights.json`."""
    assert chosen.shipped_weights() == choose_weights(read_records(RESULTS))


def test_the_recipe_that_is_shipped_is_that_of_the_records() -> None:
    """If not: `amad study weights --recipe results/study > .../protocol/recipe.json`."""
    assert chosen.shipped_recipe() == best_settings(read_records(RESULTS))


def test_records_are_of_the_plan_and_know_their_teachers() -> None:
    records = read_records(RESULTS)
    planned = {cell.key for stage in whole_plan(records) for cell in stage.cells}
    assert set(records) <= planned
    teachers = {facts["sha256"] for facts in read_teachers(RESULTS).values()}
    for key, record in records.items():
        assert record["run"]["teacher"]["sha256"] in teachers, key
        assert "dirty" not in record["run"]["versions"]["amad"], key


def test_no_two_conditions_are_called_the_same() -> None:
    told = [
        (one["family"], one["task"], one["method"], one["settings"])
        for one in summarise(RESULTS)["scores"]
    ]
    assert len(told) == len(set(told))
