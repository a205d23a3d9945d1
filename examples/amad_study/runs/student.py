"""One cell, from its teacher to its scores."""

import time
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from amad_study.data.catalogue import load_task
from amad_study.data.sizes import Sizes
from amad_study.models.batches import Batch, rows
from amad_study.models.heads import with_heads_in_order
from amad_study.models.inheritance import begin_as_part_of
from amad_study.models.pretraining import pretrained_model
from amad_study.models.size import size_of
from amad_study.models.teacher import PRETRAINING_SCENES, teacher_for
from amad_study.models.workbench import Workbench
from amad_study.runs.cell import Cell
from amad_study.runs.losses import LearnedTemperature
from amad_study.runs.methods import METHODS, make_distiller
from amad_study.runs.remembered import remembered, with_rows
from amad_study.runs.taught import Judge, teach_and_judge
from amad_torch import Distiller
from amad_torch.distillation.teaching import Teacher

CURVE_POINTS = 12
"""So often is a student judged on the way, at equal distances; 25 % and 50 % are among them."""

_TASK_SEED = 0
_VALIDATION = 500
_OF_TEACHERS = 12_000
_ON_THE_WAY = 200


@lru_cache(maxsize=2)
def bench_of(task: str, family: str, train_examples: int, test_examples: int) -> Workbench:
    """A task's data for a family; every seed of the study has the same."""
    sizes = Sizes(train=train_examples, validation=_VALIDATION, test=test_examples)
    return Workbench(load_task(task, seed=_TASK_SEED, sizes=sizes), family)


def bench_for(cell: Cell) -> Workbench:
    """The bench that a cell's student learns at."""
    return bench_of(cell.task, cell.family, cell.train_examples, cell.test_examples)


def teacher_of(
    cell: Cell,
    folder: Path,
    *,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
) -> nn.Module:
    """The cell's teacher, kept in the folder; of 12,000 examples, however many the student has.

    Args:
        cell: whose teacher it is.
        folder: where it is, or is written once it has been trained.
        on_step: called while it is trained, with the number of steps done and the losses.

    Raises:
        GateError: it does not use the picture, or is not good enough.
    """
    bench = bench_of(cell.task, cell.family, _OF_TEACHERS, cell.test_examples)
    return teacher_for(bench, cell.teacher_recipe, folder, on_step)[0]


def run_cell(
    cell: Cell,
    teachers: Path,
    *,
    watch: Callable[[nn.Module, nn.Module, str], None] | None = None,
    on_step: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Train and judge the student of a cell.

    Args:
        cell: all settings.
        teachers: the folder of the teachers.
        watch: called with the teacher, its heads in the student's order, the student, and
            `"before"` or `"after"`, when it is trained; it leaves both as they are.
        on_step: called with the number of steps done.

    Returns:
        what is kept of it, as JSON: `cell`; `curve`, pairs of steps and the main score on 200
        validation examples; `scores` on the test; `parity`, by which the attention weight was
        multiplied; `heads` before and after, see `look_at_heads`; `loss` and its parts, means
        over the last tenth of the steps; `seconds` of processor time; where it was learned the
        last `temperature`. Of a student whose loss became no finite number there is `diverged`,
        with the reason, and what was known till then.

    Raises:
        GateError: its teacher must not teach.
    """
    torch.set_num_threads(1)
    started = time.process_time()
    bench = bench_for(cell)
    teacher = with_heads_in_order(teacher_of(cell, teachers), cell.seed)
    student = _new_student(cell, bench, teacher)
    data = with_rows(bench.train)
    fixed = rows(data, slice(0, cell.batch_size))
    distiller = _distiller(cell, teacher, student, fixed)
    if METHODS[cell.method].can_be_remembered:
        compared = [one.path for pair in distiller.matched(fixed) for one in pair.teacher]
        answers = remembered(teacher, bench.train, compared)
        distiller = _distiller(cell, answers, student, fixed)
    released_at = round(cell.release * cell.steps) if cell.release < 1 else None

    def after_step(step: int) -> None:
        distiller.temperature = cell.temperature_after(step)
        if step == released_at:
            distiller.attention_weight = 0.0
        if on_step is not None:
            on_step(step)

    judge = Judge(
        bench.task.main_score,
        on_the_way=lambda: bench.scores(student, bench.task.validation, _ON_THE_WAY)[
            bench.task.main_score
        ],
        at_the_end=lambda: bench.scores(student, bench.task.test),
        times=CURVE_POINTS,
    )
    record = teach_and_judge(
        cell,
        distiller,
        data,
        judge,
        started=started,
        after_step=after_step,
        watch=None if watch is None else partial(watch, teacher, student),
    )
    if isinstance(distiller.method, LearnedTemperature):
        record["temperature"] = distiller.method.temperature
    return record


def _new_student(cell: Cell, bench: Workbench, teacher: nn.Module) -> nn.Module:
    size = size_of(cell.family, cell.student)
    if cell.start == "pre-trained":
        return pretrained_model(
            bench, size, cell.pretraining, scenes=PRETRAINING_SCENES, seed=cell.seed
        )
    student = bench.new_model(size, cell.seed)
    if cell.start == "heads of the teacher":
        begin_as_part_of(student, teacher, cell.layers)
    return student


def _distiller(cell: Cell, teacher: Teacher, student: nn.Module, example: Batch) -> Distiller:
    with torch.random.fork_rng():
        torch.manual_seed(cell.seed)  # for losses with parameters of their own
        return make_distiller(
            cell.method,
            teacher=teacher,
            student=student,
            example=example,
            output_weight=cell.output_weight,
            temperature=cell.temperature,
            layers=cell.layers,
            parts=cell.parts,
        )
