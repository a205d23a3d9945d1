"""A student taught and judged, whatever it learns: the part of a record that all kinds have."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from amad_study.models.batches import Batch, rows
from amad_study.models.training import train
from amad_study.runs.looks import gradient_parity, look_at_heads
from amad_study.runs.records import AnyCell
from amad_torch import Distiller


@dataclass(frozen=True)
class Judge:
    """How a student is judged.

    Attributes:
        main_score: its name.
        on_the_way: the main score on validation.
        at_the_end: all scores on the test.
        times: so often it is judged on the way, at equal distances, the last at the end.
    """

    main_score: str
    on_the_way: Callable[[], float]
    at_the_end: Callable[[], dict[str, float]]
    times: int


def teach_and_judge(
    cell: AnyCell,
    distiller: Distiller,
    data: Batch,
    judge: Judge,
    *,
    started: float,
    after_step: Callable[[int], None] | None = None,
    watch: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Train a distiller's student, and judge it.

    Args:
        cell: what is run.
        distiller: with the untrained student; it gets the cell's weight.
        data: training examples, of which the first are looked at.
        judge: of the student.
        started: `time.process_time()` when the cell's work began.
        after_step: called with the number of steps done, before the student is judged.
        watch: called with `"before"` and `"after"`, at these times of the training.

    Returns:
        the record, as `amad_study.runs.student.run_cell` tells.
    """
    first = rows(data, slice(0, cell.batch_size))
    parity = gradient_parity(distiller, first) if cell.has_attention else 0.0
    distiller.attention_weight = cell.weight * parity
    before = look_at_heads(distiller, first)
    if watch is not None:
        watch("before")
    judged_at = {round(cell.steps * point / judge.times) for point in range(1, judge.times + 1)}
    curve: list[tuple[int, float]] = []
    late: list[dict[str, float]] = []

    def after(step: int, losses: dict[str, float]) -> None:
        if after_step is not None:
            after_step(step)
        if step > 0.9 * cell.steps:
            late.append(losses)
        if step in judged_at:
            curve.append((step, judge.on_the_way()))

    record: dict[str, Any] = {
        "cell": cell.as_json(),
        "main score": judge.main_score,
        "curve": curve,
        "parity": parity,
        "heads": {"before": before},
        "torch": torch.__version__,
    }
    try:
        train(distiller, data, cell.training, seed=cell.seed, on_step=after)
    except FloatingPointError as error:
        return {**record, "diverged": str(error), "seconds": time.process_time() - started}
    seconds = time.process_time() - started
    if watch is not None:
        watch("after")
    distiller.attention_weight = cell.weight * parity
    record["heads"]["after"] = look_at_heads(distiller, first)
    return {
        **record,
        "scores": judge.at_the_end(),
        "loss": {name: sum(one[name] for one in late) / len(late) for name in late[-1]},
        "seconds": seconds,
    }
