"""The study's runs: what pairs cells, what is kept of them, and what a kill leaves."""

import hashlib
import json
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import torch

from amad_study.models.gate import Gate, GateError
from amad_study.models.size import size_of
from amad_study.protocol.condition import score_of
from amad_study.runs import plan, student, taught
from amad_study.runs.cell import Cell
from amad_study.runs.circumstances import teacher_facts
from amad_study.runs.looks import gradient_parity
from amad_study.runs.methods import METHODS, make_distiller
from amad_study.runs.records import (
    DamagedRecordError,
    Merged,
    merge,
    read_records,
    record_path,
    unfinished,
)
from amad_study.runs.remembered import ROW
from tests.study.workers_here import Here

SMALL = Cell(
    "vl-t5",
    "digit-questions",
    "amad-kl",
    seed=1,
    teacher_steps=2,
    train_examples=64,
    test_examples=8,
    steps=12,
    batch_size=8,
)


@pytest.fixture(autouse=True)
def small_teachers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Teachers of few examples, which the gate lets through."""
    monkeypatch.setattr(student, "_OF_TEACHERS", 64)
    monkeypatch.setattr(student, "_VALIDATION", 8)
    monkeypatch.setattr(student, "_ON_THE_WAY", 8)
    monkeypatch.setattr("amad_study.models.teacher.run_gate", lambda *_: Gate(90, 20, 20, 4))


@pytest.mark.thin(3)
@pytest.mark.parametrize("name", METHODS)
def test_every_method_teaches_what_it_says(name: str) -> None:
    bench = student.bench_for(SMALL)
    batch = {key: values[:4] for key, values in bench.train.items()}
    distiller = make_distiller(
        name,
        teacher=bench.new_model(size_of("vl-t5", "teacher"), 0),
        student=bench.new_model(size_of("vl-t5", "student-3-heads"), 1),
        example=batch,
    )
    out = distiller(**batch)
    expected = {"loss", "task", "logits"}
    if name != "ground-truth":
        expected |= {"output"}
    if METHODS[name].attention:
        expected |= {"attention"}
        weight = gradient_parity(distiller, batch)
        weights = list(distiller.student.parameters())
        task, attention = (
            torch.cat(
                [
                    one.flatten()
                    for one in torch.autograd.grad(
                        distiller(**batch)[part], weights, allow_unused=True
                    )
                    if one is not None
                ]
            ).norm()
            for part in ("task", "attention")
        )
        torch.testing.assert_close(weight * attention, task)
    assert set(out) == expected


def test_a_record_is_whole_and_repeats_itself(tmp_path: Path) -> None:
    cell = replace(SMALL, last_temperature=0.1)
    record = student.run_cell(cell, tmp_path)
    again = student.run_cell(cell, tmp_path)
    assert {**record, "seconds": 0} == {**again, "seconds": 0}
    assert [step for step, _ in record["curve"]] == list(range(1, 13))
    assert "temperature" not in record  # but where it is learned
    assert json.loads(json.dumps(record))["cell"] == cell.as_json()
    assert set(record["heads"]["after"]) == set(record["heads"]["before"])
    assert record["heads"]["after"] != record["heads"]["before"]
    for look in record["heads"]["after"].values():
        assert all(0 <= value <= 1 + 1e-6 for value in look.values())


def test_methods_of_a_seed_are_paired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same first weights, the same batches, the same order of the teacher's heads."""
    seen: dict[str, Any] = {}

    def watch(distiller: Any, data: Any, settings: Any, *, seed: int, on_step: Any) -> None:
        weights = [one.detach().clone() for one in distiller.student.parameters()]
        teacher = distiller.teacher.read({ROW: torch.arange(4)}).attention.maps()
        seen.setdefault("all", []).append((weights, teacher, seed))
        on_step(settings.steps, {"loss": 0.0})

    student.teacher_of(SMALL, tmp_path)
    monkeypatch.setattr(taught, "train", watch)
    for cell in (SMALL, replace(SMALL, method="align-to-distill"), replace(SMALL, seed=2)):
        student.run_cell(cell, tmp_path)
    one, paired, other = seen["all"]
    for side in (0, 1):
        same = [torch.equal(a, b) for a, b in zip(one[side], paired[side], strict=True)]
        differs = [not torch.equal(a, b) for a, b in zip(one[side], other[side], strict=True)]
        assert all(same)
        assert any(differs)
    assert one[2] == paired[2] != other[2]


def test_a_key_tells_every_setting() -> None:
    changed: dict[str, Any] = {
        "family": "blip",
        "task": "digit-captions",
        "method": "logits",
        "student": "student-6-heads",
        "teacher": "student-6-heads",
        "layers": "last",
        "start": "heads of the teacher",
        "parts": ("t5.encoder",),
        "last_temperature": 0.5,
        "release": 0.5,
    }
    keys = {SMALL.key}
    for field in fields(Cell):
        value = changed.get(field.name)
        if value is None:
            value = getattr(SMALL, field.name) + 1
        keys.add(replace(SMALL, **{field.name: value}).key)
    assert len(keys) == len(fields(Cell)) + 1
    assert replace(SMALL, weight=1).key == SMALL.key
    assert Cell.from_json(json.loads(json.dumps(SMALL.as_json()))) == SMALL


def test_temperature_goes_in_equal_ratios() -> None:
    cell = replace(SMALL, temperature=4.0, last_temperature=0.25)
    assert [cell.temperature_after(step) for step in (0, 6, 12)] == pytest.approx([4, 1, 0.25])
    assert SMALL.temperature_after(7) == 1


def test_a_killed_plan_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "Workers", Here)
    cells = [replace(SMALL, seed=seed) for seed in range(3)]
    ran: list[int] = []

    def run(cell: Cell, _: Path) -> dict[str, Any]:
        if cell.seed == 2 and len(ran) < 3:
            ran.append(cell.seed)
            raise KeyboardInterrupt
        ran.append(cell.seed)
        return {"cell": cell.as_json()}

    monkeypatch.setattr(plan, "run_cell", run)
    monkeypatch.setattr(plan, "teacher_of", lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        plan.run_plan([*cells, cells[0]], tmp_path)
    assert unfinished(cells, tmp_path) == cells[2:]
    told: list[plan.Progress] = []
    assert plan.run_plan(cells, tmp_path, on_progress=told.append) == {}
    assert ran == [0, 1, 2, 2]
    assert [(one.done, one.cells, one.seconds) for one in told] == [(2, 3, 0.5), (3, 3, 0.5)]
    assert set(read_records(tmp_path)) == {cell.key for cell in cells}


def test_a_cell_that_raises_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "Workers", Here)
    cells = [replace(SMALL, seed=seed) for seed in range(3)]

    def run(cell: Cell, _: Path) -> dict[str, Any]:
        if cell.seed == 1:
            raise OSError("no space left")
        return {"cell": cell.as_json()}

    monkeypatch.setattr(plan, "run_cell", run)
    monkeypatch.setattr(plan, "teacher_of", lambda *_: None)
    told: list[plan.Progress] = []
    troubles = plan.run_plan(cells, tmp_path, on_progress=told.append)
    assert troubles == {cells[1].key: "no space left"}
    assert [one.done for one in told[1:]] == [1, 1, 2]
    assert unfinished(cells, tmp_path) == [cells[1]]


def test_a_refused_teacher_teaches_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record says so, and the cell is not tried again."""
    monkeypatch.setattr(plan, "Workers", Here)

    def refuse(cell: Cell, _: Path) -> dict[str, Any]:
        if cell.teacher_seed:
            raise GateError("does not look")
        return {"cell": cell.as_json()}

    monkeypatch.setattr(plan, "teacher_of", refuse)
    monkeypatch.setattr(plan, "run_cell", refuse)
    refused = replace(SMALL, teacher_seed=1)
    told: list[plan.Progress] = []
    assert plan.run_plan([SMALL, refused], tmp_path, on_progress=told.append) == {}
    assert [one.trouble for one in told] == ["", "does not look"] * 2
    assert unfinished([SMALL, refused], tmp_path) == []
    assert read_records(tmp_path)[refused.key]["refused"] == "does not look"


def test_a_student_that_diverges_is_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: Any, **__: Any) -> None:
        raise FloatingPointError("the loss is nan")

    monkeypatch.setattr(taught, "train", diverge)
    record = student.run_cell(SMALL, tmp_path)
    assert record["diverged"] == "the loss is nan"
    assert record["heads"]["before"]
    assert "scores" not in record
    assert score_of(record) == score_of(record, "half") == score_of(record, "3 steps") == 0


def test_a_learned_temperature_is_told(tmp_path: Path) -> None:
    record = student.run_cell(replace(SMALL, method="amad-kl-learned-temperature"), tmp_path)
    assert 0.9 < record["temperature"] < 1.1  # after a few steps
    assert record["temperature"] != 1


def test_attention_is_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After half of the steps, and heads are looked at as ever."""
    told: list[set[str]] = []
    train = taught.train

    def spied(*arguments: Any, on_step: Any, **options: Any) -> None:
        def after(step: int, losses: dict[str, float]) -> None:
            told.append(set(losses))
            on_step(step, losses)

        train(*arguments, on_step=after, **options)

    monkeypatch.setattr(taught, "train", spied)
    record = student.run_cell(replace(SMALL, release=0.5), tmp_path)
    assert ["attention" in names for names in told] == [True] * 6 + [False] * 6
    assert record["heads"]["after"].keys() == record["heads"]["before"].keys()
    assert "attention" not in record["loss"]


def test_a_record_says_where_it_comes_from(tmp_path: Path) -> None:
    """Machine, versions, date; and which teacher, as two machines' are not quite the same."""
    for kind in ("teacher", "student"):
        plan.work_on((kind, SMALL), tmp_path)
    run = read_records(tmp_path)[SMALL.key]["run"]
    assert run["versions"]["torch"] == torch.__version__
    assert run["machine"]["cores"] >= 1
    assert datetime.fromisoformat(run["date"]).tzinfo is not None
    (weights,) = (tmp_path / "teachers").glob("*.safetensors")
    assert run["teacher"]["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert run["teacher"]["gate"]["score"] == 90
    other = replace(SMALL, teacher_seed=1)
    assert teacher_facts(other, tmp_path / "teachers") == {}


def test_merging_takes_what_is_new(tmp_path: Path) -> None:
    one, other = SMALL, replace(SMALL, seed=2)
    here, there, into = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    for folder, cell in ((here, one), (there, one), (there, other)):
        path = record_path(folder, cell)
        path.parent.mkdir(parents=True, exist_ok=True)
        told = {"cell": cell.as_json(), "scores": {"accuracy": 1}, "from": folder.name}
        path.write_text(json.dumps(told))
        (folder / "teachers").mkdir(exist_ok=True)
        for end in ("json", "safetensors"):
            (folder / "teachers" / f"t.{end}").write_text(f'"{folder.name}"')
    assert merge([here, there], into) == Merged(copied=2, known=1, differing=())
    assert json.loads(record_path(into, one).read_text())["from"] == "a"
    for end in ("json", "safetensors"):
        assert (into / "teachers" / f"t.{end}").read_text() == '"a"'
    assert merge([here, there], into) == Merged(copied=0, known=3, differing=())
    told = {"cell": one.as_json(), "scores": {"accuracy": 2}}
    record_path(there, one).write_text(json.dumps(told))
    assert merge([there], into).differing == (one.key,)
    record_path(there, other).write_text('{"cell": {}}')
    with pytest.raises(DamagedRecordError, match="no record of a cell"):
        merge([there], tmp_path / "d")
    assert not (tmp_path / "d").exists()
    record_path(here, one).rename(record_path(here, other))
    with pytest.raises(DamagedRecordError, match="holds the record of"):
        read_records(here)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"method": "magic"}, "method is 'magic'"),
        ({"weight": -1.0}, "weight is -1.0"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"steps": 0}, "steps is 0"),
        ({"start": "pre-trained"}, "start is 'pre-trained', but pretraining_steps is 0"),
        ({"start": "anywhere"}, "start is 'anywhere', expected one of drawn, "),
        ({"method": "one-to-one-kl", "temperature": 0.1}, "one-to-one-kl has none: leave it at 1"),
    ],
)
def test_refusals(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changed)
    with pytest.raises(ValueError, match="cell has 'wieght'"):
        Cell.from_json({**SMALL.as_json(), "wieght": 1})


def test_keys_stay_what_they_are() -> None:
    """Records of finished cells are known by them: another key would have them run again."""
    usual = Cell("vl-t5", "digit-questions", "amad-kl", 100)
    assert usual.key == "digit-questions-vl-t5-amad-kl-100-90ce2aaffe8e"
    captions = Cell("blip", "digit-captions", "logits", 111, output_weight=0.3, teacher_seed=2)
    assert captions.key == "digit-captions-blip-logits-111-7eaac8254ebe"
    parts: dict[str, Any] = {"layers": "first", "parts": ("t5.encoder",), "release": 0.5}
    tried = Cell("vl-t5", "digit-questions", "one-to-one-kl", 5, weight=0.1, **parts)
    assert tried.key == "digit-questions-vl-t5-one-to-one-kl-5-c4d593a3ad7e"
