"""The students: paired, repeatable, and measured as the results say."""

import socket
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from amad_demo.experiment import PICTURED_TEMPERATURE, Task, plan, run_task
from amad_demo.methods import METHODS, SHIPPED, cell_of
from amad_demo.parts import questions, student, teacher
from amad_demo.results import StudentResult
from amad_study.models.heads import with_heads_in_order
from amad_study.runs.student import bench_for, teacher_of
from amad_torch import alignment_weights, amad_loss, capture_attention

pytestmark = pytest.mark.xdist_group("demo")


def run(method: str, seed: int = 1) -> StudentResult:
    return run_task(Task(method, seed), teachers=SHIPPED, steps=2, on_step=lambda _: None)


def test_methods_of_a_seed_are_paired_and_a_run_repeats_itself() -> None:
    first = {method: run(method) for method in METHODS}
    before = [one.weights_before for one in first.values()]
    assert before[0] == before[1] == before[2]
    assert len({one.amad_loss for one in first.values()}) == 3
    again = run("amad")
    assert replace(again, seconds=0.0) == replace(first["amad"], seconds=0.0)


def test_plans_go_seed_by_seed() -> None:
    assert [task.seed for task in plan([5, 3])] == [5, 5, 5, 3, 3, 3]


def test_weights_and_loss_are_those_of_the_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recomputed from captured maps, with the padding taken from the batch by hand."""
    cell = cell_of("amad", 1, steps=1)
    bench = bench_for(cell)
    of_teacher = with_heads_in_order(teacher_of(cell, SHIPPED), cell.seed)
    seen: list[torch.nn.Module] = []
    from amad_demo import experiment

    run_cell = experiment.run_cell

    def keep(*arguments: object, watch: object, **rest: object) -> object:
        def both(teacher: torch.nn.Module, student: torch.nn.Module, when: str) -> None:
            watch(teacher, student, when)  # type: ignore[operator]
            seen[:] = [student]

        return run_cell(*arguments, watch=both, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(experiment, "run_cell", keep)
    result = run_task(Task("amad", 1), teachers=SHIPPED, steps=1, on_step=lambda _: None)
    split = bench.task.test
    data = bench.encode(split, split.examples[:256])
    maps = []
    for model in (of_teacher, seen[0]):
        with torch.no_grad(), capture_attention(model) as attention:
            model(**data)
        encoder = attention.maps(kind="self", under="t5.encoder")
        decoder = attention.maps(kind="self", under="t5.decoder")
        maps.append([*encoder[:2], decoder[0], attention.maps(kind="cross")[0]])
    read, said = data["attention_mask"], data["labels"] != -100
    cells = [read[:, :, None] & read[:, None, :]] * 2
    cells += [said[:, :, None] & said[:, None, :], said[:, :, None] & read[:, None, :]]
    pairs = list(zip(*maps, cells, strict=True))
    for (one, two, mask), found in zip(pairs, result.weights_after.values(), strict=True):
        assert (one.shape[1], two.shape[1]) == (8, 3)
        expected = alignment_weights(
            teacher=one, student=two, temperature=PICTURED_TEMPERATURE, mask=mask
        ).mean(0)
        torch.testing.assert_close(torch.tensor(found), expected, rtol=1e-4, atol=1e-5)
    loss = sum(
        float(amad_loss(teacher=one, student=two, variant="js", mask=mask))
        for one, two, mask in pairs
    )
    assert result.amad_loss == pytest.approx(loss, rel=1e-4)


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    rows = questions(train=8, validation=4)
    assert {split: len(found) for split, found in rows.items()} == {"train": 8, "validation": 4}
    batch = {name: torch.stack([row[name] for row in rows["train"]]) for name in rows["train"][0]}
    heads = [model.t5.config.num_heads for model in (teacher(), student()) if model(**batch)]
    assert heads == [8, 3]


def test_the_extra_of_the_study_is_not_needed() -> None:
    code = (
        "import sys; sys.modules |= dict.fromkeys(['sacrebleu', 'easy_vqa']); "
        "import amad_demo.demonstration, amad_demo.parts; "
        "amad_demo.parts.questions(train=4, validation=2)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
