"""One student of the demo: trained, judged, and looked at."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from amad_demo.methods import METHODS, cell_of
from amad_demo.results import StudentResult
from amad_study.runs.looking import Onlooker
from amad_study.runs.student import run_cell

PICTURED_TEMPERATURE = 0.1
"""Of the alignment weights in the picture: at 1, with which AMAD trains, lines hardly differ."""

AMAD_LOSS, ONE_TO_ONE_LOSS = "amad-js", "one-to-one-js"

STEPS = ("1 step", "2 steps", "3 steps")
"""Questions by how many operations on the scene their answer takes."""


@dataclass(frozen=True)
class Task:
    """One student to train."""

    method: str
    seed: int


def plan(seeds: list[int]) -> list[Task]:
    """List the students to train, seed by seed so that an early stop leaves fair comparisons."""
    return [Task(method, seed) for seed in seeds for method in METHODS]


def run_task(
    task: Task, *, teachers: Path, steps: int | None, on_step: Callable[[int], None]
) -> StudentResult:
    """Train one student and measure it.

    Args:
        task: method and seed.
        teachers: the folder of the teacher.
        steps: of training; `None`: as many as in the study.
        on_step: called with the number of steps done.

    Raises:
        GateError: the teacher does not use the picture.
        FloatingPointError: the loss was no finite number.
    """
    cell = cell_of(task.method, task.seed, steps)
    onlooker = Onlooker(cell, temperature=PICTURED_TEMPERATURE, losses=(AMAD_LOSS, ONE_TO_ONE_LOSS))
    record = run_cell(cell, teachers, watch=onlooker, on_step=on_step)
    if "diverged" in record:
        raise FloatingPointError(f"{task.method}, seed {task.seed}: {record['diverged']}")
    scores, losses = record["scores"], onlooker.losses["after"]
    return StudentResult(
        method=task.method,
        seed=task.seed,
        cell=cell.key,
        accuracy=scores[record["main score"]],
        accuracy_by_steps=[scores[f"accuracy: {one}"] for one in STEPS],
        amad_loss=losses[AMAD_LOSS],
        one_to_one_loss=losses[ONE_TO_ONE_LOSS],
        seconds=record["seconds"],
        curve=[(int(step), float(score)) for step, score in record["curve"]],
        weights_before=onlooker.alignment["before"],
        weights_after=onlooker.alignment["after"],
        examples=onlooker.examples,
    )


@contextmanager
def single_thread() -> Iterator[None]:
    """Let PyTorch compute with one thread: such small models gain nothing from more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
