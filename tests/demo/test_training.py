"""The distillers of the demo, and the training loop around them."""

import torch

from amad_demo.batches import Batch, draw_questions
from amad_demo.experiment import Task, new_student, run_task
from amad_demo.methods import METHODS, TEMPERATURE, make_distiller
from amad_demo.model import VisualQuestionModel
from amad_demo.training import TrainingSettings, train_student
from amad_torch import alignment_weights, amad_loss, capture_attention
from amad_torch.peers import distillation_loss

QUICK = TrainingSettings(steps=4, batch_size=16, questions=64)


def pairs_of_maps(
    teacher: VisualQuestionModel, student: VisualQuestionModel, batch: Batch
) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Maps of the layers that the page names, and which of their cells are no padding."""
    maps = []
    for model in (teacher, student):
        with torch.no_grad(), capture_attention(model) as attention:
            model(**batch.inputs)
        encoder = attention.maps(kind="self", under="t5.encoder")
        (cross,) = attention.maps(kind="cross")
        maps.append((encoder, cross))
    (teachers, looked), (students, looks) = maps
    cells = batch.mask[:, :, None] & batch.mask[:, None, :]
    return [
        (teachers[0], students[0], cells),
        (teachers[2], students[1], cells),
        (looked, looks, batch.mask[:, None, :]),
    ]


def test_each_method_is_its_loss_on_the_layers_and_cells_that_count(
    teacher: VisualQuestionModel,
) -> None:
    batch, student = draw_questions("test", 12, 0), new_student(0, teacher)
    pairs = pairs_of_maps(teacher, student, batch)
    assert [one.shape[1] for one in pairs[0][:2]] == [8, 3]
    expected = {
        "amad": sum(
            amad_loss(teacher=one, student=two, variant="mse", temperature=TEMPERATURE, mask=cells)
            for one, two, cells in pairs
        ),
        "one-to-one": sum(
            distillation_loss(name="one_to_one_mse", teacher=one, student=two, mask=cells)
            for one, two, cells in pairs
        ),
    }
    for name, loss in expected.items():
        out = make_distiller(METHODS[name], teacher=teacher, student=student)(**batch.inputs)
        torch.testing.assert_close(out["attention"].detach(), loss, rtol=1e-4, atol=1e-6)
        total = out["task"] + METHODS[name].attention_weight * out["attention"]
        torch.testing.assert_close(out["loss"], total)
    plain = make_distiller(METHODS["ground-truth"], teacher=teacher, student=student)
    assert list(plain(**batch.inputs)) == ["loss", "task", "logits"]


def test_the_weights_in_the_results_are_those_of_the_maps(teacher: VisualQuestionModel) -> None:
    from amad_demo.evaluation import measure

    batch, student = draw_questions("test", 12, 0), new_student(0, teacher)
    measured = measure(student, teacher, batch).weights
    for (one, two, cells), (name, weights) in zip(
        pairs_of_maps(teacher, student, batch), measured.items(), strict=True
    ):
        expected = alignment_weights(
            teacher=one, student=two, temperature=TEMPERATURE, mask=cells
        ).mean(0)
        torch.testing.assert_close(torch.tensor(weights), expected, rtol=1e-4, atol=1e-5)
        assert name.startswith("cross") == (one.shape[2] == 1)


def test_training_on_attention_brings_the_attention_closer(teacher: VisualQuestionModel) -> None:
    data, test = draw_questions("train", 64, 0), draw_questions("test", 64, 0)
    before = {name: weight.clone() for name, weight in teacher.named_parameters()}
    losses = {}
    for name in ("ground-truth", "amad"):
        student = new_student(3, teacher)
        train_student(
            make_distiller(METHODS[name], teacher=teacher, student=student),
            data=data,
            settings=TrainingSettings(steps=15, batch_size=16),
            seed=0,
            on_step=lambda step, loss: None,
        )
        with torch.no_grad():
            judge = make_distiller(METHODS["amad"], teacher=teacher, student=student)
            losses[name] = float(judge(**test.inputs)["attention"])
    assert losses["amad"] < 0.95 * losses["ground-truth"]
    assert all(torch.equal(weight, before[name]) for name, weight in teacher.named_parameters())


def test_two_runs_give_the_same_result(teacher: VisualQuestionModel) -> None:
    test = draw_questions("test", 100, 0)
    runs = [
        run_task(Task("amad", 7), teacher=teacher, test=test, settings=QUICK, on_step=lambda: None)
        for _ in range(2)
    ]
    first, second = (vars(run) | {"seconds": 0.0} for run in runs)
    assert first == second


def test_all_methods_start_from_the_same_student_and_data(teacher: VisualQuestionModel) -> None:
    test = draw_questions("test", 50, 0)
    results = [
        run_task(Task(method, 1), teacher=teacher, test=test, settings=QUICK, on_step=lambda: None)
        for method in ("ground-truth", "one-to-one", "amad")
    ]
    assert results[0].weights_before == results[1].weights_before == results[2].weights_before
    # The first point of the curve is the loss before anything was learned.
    assert len({result.curve_loss[0] for result in results}) == 1
    assert len({result.amad_loss for result in results}) == 3
