"""The study's own losses: against the library's where they meet, by hand elsewhere."""

import copy

import pytest
import torch
from torch import Tensor

from amad_study.models.batches import rows
from amad_study.models.size import size_of
from amad_study.runs import losses
from amad_study.runs.remembered import remembered, with_rows
from amad_study.runs.student import bench_of
from amad_torch import Distiller, amad_loss
from amad_torch.peers import distillation_loss


@pytest.fixture
def maps() -> tuple[Tensor, Tensor, Tensor]:
    """Teacher, student, and a mask of which the last query and two keys do not count."""
    random = torch.Generator().manual_seed(0)
    teacher, student = (
        (2 * torch.randn(3, heads, 5, 7, generator=random, dtype=torch.float64)).softmax(-1)
        for heads in (8, 3)
    )
    mask = torch.ones(3, 5, 7, dtype=torch.bool)
    mask[:, 4], mask[1, :, 5:] = False, False
    return teacher, student, mask


def test_changed_weights_begin_as_amad_s(maps: tuple[Tensor, Tensor, Tensor]) -> None:
    teacher, student, mask = maps
    expected = amad_loss(teacher=teacher, student=student, variant="kl", mask=mask)
    for own in (losses.AMADWithWeights(lambda weights: weights), losses.LearnedTemperature()):
        torch.testing.assert_close(own(teacher=teacher, student=student, mask=mask), expected)
    given = {"teacher": teacher, "student": student, "mask": mask}
    warm = amad_loss(**given, variant="kl", temperature=1e9)
    torch.testing.assert_close(losses.AMADWithWeights(losses.uniform)(**given), warm)
    permuted = losses.AMADWithWeights(losses.permuted)(**given)
    assert permuted > expected + 1e-3
    weights = torch.tensor([[[0.1, 0.2, 0.7]]])
    assert losses.permuted(weights).tolist() == [[[pytest.approx(0.7), *weights[0, 0, :2]]]]


def test_detached_weights_change_the_gradient_alone(maps: tuple[Tensor, Tensor, Tensor]) -> None:
    teacher, student, mask = maps
    values, gradients = [], []
    for change in (losses.detached, lambda weights: weights):
        given = student.clone().requires_grad_()
        value = losses.AMADWithWeights(change)(teacher=teacher, student=given, mask=mask)
        values.append(value)
        gradients.append(torch.autograd.grad(value, given)[0])
    torch.testing.assert_close(*values)
    assert (gradients[0] - gradients[1]).norm() > 1e-3 * gradients[1].norm()


def test_the_temperature_is_learned(maps: tuple[Tensor, Tensor, Tensor]) -> None:
    teacher, student, mask = maps
    loss = losses.LearnedTemperature()
    value = loss(teacher=teacher, student=student, mask=mask)
    value.backward()
    step = 1e-5
    there, back = (
        amad_loss(
            teacher=teacher, student=student, mask=mask, variant="kl",
            temperature=float(torch.tensor(change, dtype=torch.float64).exp()),
        )
        for change in (step, -step)
    )  # fmt: skip
    assert loss.logarithm.grad is not None
    assert float(loss.logarithm.grad) == pytest.approx(float(there - back) / (2 * step), rel=1e-4)


def test_sinks_are_columns_far_above_the_others(maps: tuple[Tensor, Tensor, Tensor]) -> None:
    even = torch.full((2, 8, 5, 7), 0.05, dtype=torch.float64)
    even[..., 2] = 0.7
    cells = losses.without_sinks(even, None)
    assert not cells[..., 2].any()
    assert cells.sum() == 2 * 5 * 6
    mask = torch.ones(2, 5, 7, dtype=torch.bool)
    mask[0, :, 2] = False  # what does not count is no sink, and makes none
    cells = losses.without_sinks(even, mask)
    assert torch.equal(cells[0], mask[0])
    assert not cells[1, :, 2].any()
    _, student, _ = maps
    student = student[:2]
    expected = amad_loss(teacher=even, student=student, variant="kl", mask=cells)
    found = losses.amad_kl_without_sinks(teacher=even, student=student, mask=mask)
    torch.testing.assert_close(found, expected)


def test_of_two_keys_none_is_a_sink() -> None:
    """The greater is above their mean by their deviation: rounding must not decide."""
    random = torch.Generator().manual_seed(0)
    maps = torch.randn(200, 8, 2, 2, generator=random).softmax(-1)
    assert losses.without_sinks(maps, None).all()
    three_of_which_two_count = torch.ones(200, 3, 3, dtype=torch.bool)
    three_of_which_two_count[:, :, 1] = False
    maps = torch.randn(200, 8, 3, 3, generator=random).softmax(-1)
    cells = losses.without_sinks(maps, three_of_which_two_count)
    assert torch.equal(cells, three_of_which_two_count)


@pytest.mark.parametrize("name", ["one_to_one", "mean_head", "best_match"])
def test_js_pairs_heads_as_kl_does(name: str, maps: tuple[Tensor, Tensor, Tensor]) -> None:
    """Near equal maps KL is four times JS, up to third order: so the pairs are the same."""
    teacher, _, mask = maps
    noise = torch.randn(teacher.shape, generator=torch.Generator().manual_seed(1)).double()
    student = (teacher.log() + 1e-3 * noise).softmax(-1)[:, [2, 0, 1, 3, 4, 5, 6, 7]]
    if name == "one_to_one":
        student = student[:, [1, 2, 0, 3, 4, 5, 6, 7]]
    own = getattr(losses, f"{name}_js")(teacher=teacher, student=student, mask=mask)
    kl = distillation_loss(name=f"{name}_kl", teacher=teacher, student=student, mask=mask)
    assert float(kl / own) == pytest.approx(4, rel=1e-2)
    far = maps[1]
    bounded = getattr(losses, f"{name}_js")(teacher=teacher, student=far, mask=mask)
    assert 0.01 < float(bounded) < 0.6932


def test_groups_are_neighbours(maps: tuple[Tensor, Tensor, Tensor]) -> None:
    teacher, student, mask = maps
    groups = (teacher[:, :3], teacher[:, 3:6], teacher[:, 6:])
    means = torch.stack([group.mean(dim=1) for group in groups], dim=1)
    expected = distillation_loss(name="one_to_one_kl", teacher=means, student=student, mask=mask)
    found = losses.grouped_means_kl(teacher=teacher, student=student, mask=mask)
    torch.testing.assert_close(found, expected)
    with pytest.raises(ValueError, match="teacher has 3 heads, expected at least the student's 8"):
        losses.grouped_means_kl(teacher=student, student=teacher, mask=mask)


def test_a_remembered_teacher_gives_what_the_teacher_gives() -> None:
    bench = bench_of("digit-questions", "vl-t5", 64, 8)
    teacher = bench.new_model(size_of("vl-t5", "teacher"), 0)
    student = bench.new_model(size_of("vl-t5", "student-3-heads"), 1)
    batch = rows(with_rows(bench.train), torch.tensor([40, 3, 17]))
    live = Distiller(teacher=teacher, student=student)
    paths = [one.path for pair in live.matched(batch) for one in pair.teacher]
    answers = remembered(teacher, bench.train, paths)
    kept = Distiller(teacher=answers, student=student)
    assert kept.pairs(**batch) == live.pairs(**batch)
    for name, value in live(**batch).items():
        torch.testing.assert_close(kept(**batch)[name], value, rtol=1e-4, atol=1e-5)
    assert remembered(copy.deepcopy(teacher), bench.train, paths) is answers
    assert list(remembered(teacher, bench.train, paths[1:]).read(batch).attention) == paths[1:]
    answers = remembered(teacher, bench.train, paths)
    with torch.no_grad():
        next(teacher.parameters()).add_(1)
    assert remembered(teacher, bench.train, paths) is not answers
