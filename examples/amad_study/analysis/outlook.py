"""How far the plan is, stage by stage, and how long what is left will take."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from amad_study.protocol import stages as plan
from amad_study.protocol.chosen import shipped_weights
from amad_study.protocol.condition import Records, is_tuned, tuned_as, was_refused
from amad_study.protocol.stages import Stage, choose_weights, stages
from amad_study.runs.cell import Cell
from amad_study.runs.circumstances import teacher_facts

UNTUNED = 0.3
"""The weight of the quick study where none was chosen yet, in units of gradient parity."""

_A_TEACHER = 0.063
_WITH_ATTENTION = 0.045
_WITHOUT_ATTENTION = 0.02
"""Seconds a step on a busy core, until there are records to go by (docs/study-runs.md)."""


@dataclass(frozen=True)
class StageOutlook:
    """One stage.

    Attributes:
        name, question: as the stage's.
        cells: how many it has.
        done: of these, how many have a record.
        waits: whether weights must be chosen before its cells are known.
        seconds: what is left, on one core.
    """

    name: str
    question: str
    cells: int
    done: int
    waits: bool
    seconds: float


@dataclass(frozen=True)
class Outlook:
    """The whole plan.

    Attributes:
        stages: in order.
        teachers: how many still have to be trained.
        teacher_seconds: that these take.
        measured: whether seconds go by records of this folder, or by rough figures.
    """

    stages: tuple[StageOutlook, ...]
    teachers: int
    teacher_seconds: float
    measured: bool

    @property
    def seconds(self) -> float:
        """All that is left, on one core."""
        return self.teacher_seconds + sum(stage.seconds for stage in self.stages)


def plan_weights(records: Records, *, quick: bool = False) -> dict[str, float]:
    """The weights that later stages run with: chosen from the records.

    The quick study does not tune: methods without a chosen weight get that of the study that is
    shipped, or, if there is none, one that was never chosen.
    """
    chosen = choose_weights(records)
    if not quick:
        return chosen
    return {**dict.fromkeys(_names_of_weights(), UNTUNED), **shipped_weights(), **chosen}


def untuned(records: Records) -> list[str]:
    """What the quick study has no chosen weight for, neither in its folder nor shipped.

    As `tuned_as` names it; it is run with `UNTUNED`.
    """
    known = {**shipped_weights(), **choose_weights(records)}
    cells = [cell for stage in whole_plan(records, quick=True) for cell in stage.cells]
    names = dict.fromkeys(tuned_as(cell) for cell in cells if is_tuned(cell))
    return [name for name in names if name not in known]


def whole_plan(records: Records, *, quick: bool = False) -> list[Stage]:
    """All stages with all their cells, with a weight of 1 where none is chosen yet."""
    weights = {**dict.fromkeys(_names_of_weights(), 1.0), **plan_weights(records, quick=quick)}
    return stages(records, quick=quick, weights=weights, guess=True)


def _names_of_weights() -> list[str]:
    conditions = [one for item in plan.ORDER for one in item.conditions]
    return [tuned_as(one) for one in conditions if is_tuned(one)]


def outlook(known: list[Stage], whole: list[Stage], records: Records, folder: Path) -> Outlook:
    """How far a plan is.

    Args:
        known: the stages with the cells that can be run now.
        whole: the same with those that wait for weights.
        records: of finished cells.
        folder: where the teachers are.
    """
    pace = paces(records)
    told = []
    teachers: dict[str, Cell] = {}
    for stage, all_of_it in zip(known, whole, strict=True):
        left = [cell for cell in all_of_it.cells if cell.key not in records]
        for cell in left:
            teachers.setdefault(str((cell.task, cell.family, cell.teacher_recipe)), cell)
        told.append(
            StageOutlook(
                stage.name,
                stage.question,
                len(all_of_it.cells),
                len(all_of_it.cells) - len(left),
                len(stage.cells) < len(all_of_it.cells),
                sum(seconds_of(cell, pace) for cell in left),
            )
        )
    missing = [one for one in teachers.values() if not teacher_facts(one, folder / "teachers")]
    return Outlook(
        tuple(told),
        len(missing),
        sum(_A_TEACHER * (one.teacher_steps + one.pretraining_steps) for one in missing),
        bool(pace),
    )


def paces(records: Records) -> dict[tuple[str, ...], float]:
    """Seconds a step, medians of the records, for kinds of cells from narrow to wide."""
    found: dict[tuple[str, ...], list[float]] = {}
    for record in records.values():
        if was_refused(record):
            continue
        cell, seconds = record["cell"], _elapsed(record)
        for kind in _kinds(Cell.from_json(cell)):
            found.setdefault(kind, []).append(seconds / cell["steps"])
    return {kind: median(values) for kind, values in found.items()}


def seconds_of(cell: Cell, pace: Mapping[tuple[str, ...], float]) -> float:
    """How long a cell takes: as the nearest kind that was measured."""
    for kind in _kinds(cell):
        if kind in pace:
            return pace[kind] * cell.steps
    return cell.steps * (_WITH_ATTENTION if cell.has_attention else _WITHOUT_ATTENTION)


def _kinds(cell: Cell) -> list[tuple[str, ...]]:
    taught = "attention" if cell.has_attention else "no attention"
    return [
        (cell.task, cell.family, cell.method, cell.student, str(cell.steps)),
        (cell.task, cell.family, cell.method),
        (cell.task, cell.family, taught),
        (taught,),
    ]


def _elapsed(record: Mapping[str, Any]) -> float:
    return float(record.get("run", {}).get("elapsed", record["seconds"]))
