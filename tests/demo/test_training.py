"""The attention losses of the demo, and the training loop that uses them."""

import torch

from amad_demo.attention import (
    TEMPERATURE,
    VARIANT,
    amad_attention_loss,
    head_weights,
    one_to_one_attention_loss,
    paired_maps,
)
from amad_demo.batches import draw_questions
from amad_demo.experiment import Task, new_student, run_task
from amad_demo.model import VisualQuestionModel
from amad_demo.training import TrainingSettings, train_student
from amad_torch import amad_loss

QUICK = TrainingSettings(steps=4, batch_size=16, questions=64)


def test_one_to_one_compares_the_first_heads_and_drops_the_rest(
    teacher: VisualQuestionModel,
) -> None:
    batch = draw_questions("test", 12, 0)
    with torch.no_grad():
        target, output = teacher(batch), new_student(0, teacher)(batch)
    expected = torch.zeros(())
    for _, maps in paired_maps(target, output, batch.mask):
        assert maps.teacher.shape[1] == 8
        assert maps.student.shape[1] == 3
        for head in range(3):
            for row in range(len(batch)):
                cells = maps.mask[row].expand(maps.teacher.shape[2:])
                wanted = maps.teacher[row, head][cells]
                given = maps.student[row, head][cells]
                gap = wanted / wanted.norm() - given / given.norm()
                expected += gap.square().sum() / len(batch)
    assert VARIANT == "mse"  # what the lines above compute
    torch.testing.assert_close(
        one_to_one_attention_loss(target, output, batch.mask), expected, rtol=1e-5, atol=1e-5
    )


def test_a_cell_counts_if_query_and_key_do(teacher: VisualQuestionModel) -> None:
    batch = draw_questions("test", 12, 0)
    with torch.no_grad():
        output = teacher(batch)
    real = batch.mask.tolist()
    encoder = [[[query and key for key in row] for query in row] for row in real]
    for pair, maps in paired_maps(output, output, batch.mask):
        expected = encoder if pair.part == "encoder" else [[row] for row in real]
        assert maps.mask.tolist() == expected


def test_amad_is_summed_over_layer_pairs_and_ignores_padding(teacher: VisualQuestionModel) -> None:
    batch = draw_questions("test", 12, 0)
    with torch.no_grad():
        target, output = teacher(batch), new_student(0, teacher)(batch)
    expected = 0.0
    for _, maps in paired_maps(target, output, batch.mask):
        for row in range(len(batch)):
            cells = maps.mask[row].expand(maps.teacher.shape[2:])
            expected += float(
                amad_loss(
                    # Only the cells that count, as one long query row: no mask is needed.
                    teacher=maps.teacher[row : row + 1, :, cells][:, :, None],
                    student=maps.student[row : row + 1, :, cells][:, :, None],
                    variant=VARIANT,
                    temperature=TEMPERATURE,
                )
            )
    loss = float(amad_attention_loss(target, output, batch.mask))
    assert abs(loss - expected / len(batch)) < 1e-4


def test_a_teacher_head_s_weights_add_up_to_one(teacher: VisualQuestionModel) -> None:
    batch = draw_questions("test", 12, 0)
    with torch.no_grad():
        weights = head_weights(teacher(batch), new_student(0, teacher)(batch), batch.mask)
    for weight in weights.values():
        assert weight.shape == (8, 3)
        torch.testing.assert_close(weight.sum(dim=1), torch.ones(8))


def test_training_on_attention_brings_the_attention_closer(teacher: VisualQuestionModel) -> None:
    data, test = draw_questions("train", 64, 0), draw_questions("test", 64, 0)
    before = {name: weight.clone() for name, weight in teacher.named_parameters()}
    losses = {}
    for name, weight in (("off", 0.0), ("on", 1.0)):
        student = new_student(3, teacher)
        train_student(
            student,
            teacher=teacher,
            data=data,
            settings=TrainingSettings(steps=15, batch_size=16),
            seed=0,
            attention_loss=amad_attention_loss,
            attention_weight=weight,
        )
        with torch.no_grad():
            losses[name] = amad_attention_loss(teacher(test), student(test), test.mask)
    assert losses["on"] < 0.95 * losses["off"]
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
