"""The teacher: it must use the image, and its weights must be those that were checked."""

import json
import shutil
import socket
from pathlib import Path

import pytest
import torch

from amad_demo.batches import draw_questions
from amad_demo.evaluation import exact_match
from amad_demo.experiment import new_student
from amad_demo.gate import passes, run_gate
from amad_demo.model import STUDENT_SIZE, TEACHER_SIZE, VisualQuestionModel
from amad_demo.teacher import (
    SHIPPED,
    DamagedTeacherError,
    TeacherRecipe,
    load_teacher,
    save_teacher,
    train_teacher,
)


def test_the_shipped_teacher_passes_the_gate(teacher: VisualQuestionModel) -> None:
    gate = run_gate(teacher, count=600)
    assert gate.questions > 400
    assert gate.accuracy > 0.90, gate
    assert gate.shuffled_accuracy < 0.15, gate
    assert gate.passed


def test_the_gate_agrees_with_the_one_recorded(teacher: VisualQuestionModel) -> None:
    recorded = json.loads((SHIPPED / "teacher.json").read_text())["gate"]
    gate = run_gate(teacher)
    assert gate.questions == recorded["questions"]
    # Weights are stored as float16 after the recorded gate.
    assert gate.accuracy == pytest.approx(recorded["accuracy"], abs=0.005)


def test_the_gate_stops_a_teacher_that_cannot_answer(teacher: VisualQuestionModel) -> None:
    gate = run_gate(new_student(0, teacher), count=200)
    assert not gate.passed
    assert "NOT passed" in str(gate)


@pytest.mark.parametrize(
    ("accuracy", "shuffled", "expected"),
    [(0.95, 0.10, True), (0.90, 0.10, False), (0.95, 0.15, False), (0.5, 0.5, False)],
)
def test_both_measurements_decide_the_gate(
    accuracy: float, shuffled: float, expected: bool
) -> None:
    assert passes(accuracy, shuffled) is expected


def test_the_student_has_fewer_heads_and_fewer_layers() -> None:
    assert STUDENT_SIZE.heads < TEACHER_SIZE.heads
    assert STUDENT_SIZE.encoder_layers < TEACHER_SIZE.encoder_layers


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    teacher, _ = load_teacher()
    assert exact_match(teacher, draw_questions("test", 40, 1)) > 0.8


def test_padding_has_no_influence(teacher: VisualQuestionModel) -> None:
    batch = draw_questions("test", 20, 2)
    spoiled = batch[:]
    padding = ~batch.mask[:, 9:]
    spoiled.regions[padding] = 0.7
    spoiled.boxes[padding] = 0.3
    with torch.no_grad():
        clean, other = (teacher(**one.inputs)["logits"] for one in (batch, spoiled))
        torch.testing.assert_close(clean, other)


def copy_of_shipped(directory: Path) -> Path:
    return Path(shutil.copytree(SHIPPED, directory / "weights"))


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    weights = copy_of_shipped(tmp_path) / "teacher.safetensors"
    content = bytearray(weights.read_bytes())
    content[-100] ^= 1
    weights.write_bytes(content)
    with pytest.raises(DamagedTeacherError, match=r"SHA-256 .*expected.*--remake-teacher"):
        load_teacher(weights.parent)


@pytest.mark.parametrize("name", ["teacher.safetensors", "teacher.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    directory = copy_of_shipped(tmp_path)
    (directory / name).unlink()
    with pytest.raises(DamagedTeacherError, match=name):
        load_teacher(directory)


@pytest.mark.parametrize("content", ["", "[]", "{}", "{"])
def test_damaged_facts_are_refused(tmp_path: Path, content: str) -> None:
    facts = copy_of_shipped(tmp_path) / "teacher.json"
    facts.write_text(content)
    with pytest.raises(DamagedTeacherError, match="is damaged"):
        load_teacher(facts.parent)


def test_another_model_s_weights_are_refused(tmp_path: Path, teacher: VisualQuestionModel) -> None:
    save_teacher(new_student(0, teacher), tmp_path, TeacherRecipe(), run_gate(teacher, count=20))
    with pytest.raises(DamagedTeacherError, match="another kind of model"):
        load_teacher(tmp_path)


def test_remaking_is_deterministic_and_what_is_saved_loads(tmp_path: Path) -> None:
    recipe = TeacherRecipe(questions=64, steps=3, batch_size=16)
    losses: list[float] = []
    first, second = train_teacher(recipe, losses.append), train_teacher(recipe)
    gate = run_gate(first, count=20)
    checksums = {save_teacher(model, tmp_path, recipe, gate) for model in (first, second)}
    assert len(checksums) == 1
    assert len(losses) == 3
    loaded, checksum = load_teacher(tmp_path)
    assert {checksum} == checksums
    for weight, original in zip(loaded.parameters(), first.parameters(), strict=True):
        assert torch.equal(weight, original.half().float())
        assert not weight.requires_grad
