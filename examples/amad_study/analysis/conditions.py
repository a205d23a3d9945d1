"""Conditions of the plan that counts: what each is called, its cells, and what they scored."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from statistics import fmean, stdev
from typing import Any

from amad_study.protocol.condition import SEEDS, Records, condition, score_of, was_refused
from amad_study.runs.cell import Cell

_APART = (
    *("family", "task", "method", "seed", "teacher_seed", "weight", "output_weight"),
    "last_temperature",  # told with the first
)


@dataclass(frozen=True)
class Row:
    """A condition with all its seeds.

    Attributes:
        cell: of the first seed; all else is the same for every seed.
        records: of the seeds that were run, by seed.
        missing: seeds that were not.
        refused: seeds without a student, as the gate refused their teacher.
    """

    cell: Cell
    records: dict[int, dict[str, Any]]
    missing: tuple[int, ...]
    refused: tuple[int, ...] = ()

    @property
    def scores(self) -> dict[int, float]:
        """Main scores by seed."""
        return {seed: score_of(record) for seed, record in self.records.items()}

    @property
    def finished(self) -> dict[int, dict[str, Any]]:
        """The records of students that did not diverge."""
        return {seed: one for seed, one in self.records.items() if "diverged" not in one}

    @property
    def diverged(self) -> tuple[int, ...]:
        """The seeds whose students did."""
        return tuple(seed for seed in self.records if seed not in self.finished)

    @property
    def gates(self) -> list[dict[str, float]]:
        """What the gate measured of the teacher of each record, where that is known."""
        runs = [record.get("run", {}) for record in self.records.values()]
        return [gate for run in runs if (gate := run.get("teacher", {}).get("gate"))]

    @property
    def mean(self) -> float | None:
        """Of the scores."""
        return fmean(self.scores.values()) if self.records else None

    @property
    def spread(self) -> float | None:
        """Standard deviation of the scores."""
        return stdev(self.scores.values()) if len(self.records) > 1 else None

    @property
    def settings(self) -> str:
        """What is not as usual, in words; empty for the usual."""
        return unusual(self.cell)

    @property
    def usual(self) -> bool:
        """Whether nothing but family, task and method sets it apart."""
        return not self.settings


def unusual(cell: Cell) -> str:
    """Settings that are not as in an ordinary condition, in words."""
    usual = condition(cell.family, cell.task, cell.method)
    told = []
    for field in fields(cell):
        value = getattr(cell, field.name)
        if field.name not in _APART and value != getattr(usual, field.name):
            in_words = _IN_WORDS.get(field.name)
            told.append(in_words(cell) if in_words else f"{field.name.replace('_', ' ')} {value}")
    return ", ".join(told)


def _temperature(cell: Cell) -> str:
    if cell.last_temperature is None:
        return f"temperature {cell.temperature:g}"
    return f"temperature from {cell.temperature:g} to {cell.last_temperature:g}"


def _last_step(path: str) -> str:
    return path.rpartition(".")[2]


_IN_WORDS: Mapping[str, Callable[[Cell], str]] = {
    "student": lambda cell: cell.student.removeprefix("student-").replace("-", " "),
    "pretraining_steps": lambda cell: f"teacher pre-trained for {cell.pretraining_steps:,} steps",
    "start": lambda cell: {
        "heads of the teacher": "begins as a part of the teacher",
        "pre-trained": "pre-trained as long as its teacher",
    }[cell.start],
    "temperature": _temperature,
    "release": lambda cell: f"attention taught for the first {100 * cell.release:g} % of the steps",
    "layers": lambda cell: f"layer map {cell.layers}",
    "parts": lambda cell: f"attention of the {' and the '.join(map(_last_step, cell.parts))} alone",
    "steps": lambda cell: f"{cell.steps:,} steps",
    "train_examples": lambda cell: f"{cell.train_examples:,} examples",
}
"""Other settings, which the protocol does not change, are told by their names."""


def rows_of(cells: Iterable[Cell], records: Records, counted: Sequence[int] = SEEDS) -> list[Row]:
    """The conditions that cells of counted seeds belong to, in order."""
    found: dict[Cell, dict[int, Cell]] = {}
    for cell in cells:
        if cell.seed in counted:
            found.setdefault(replace(cell, seed=0, teacher_seed=0), {})[cell.seed] = cell
    return [_row(dict(sorted(by_seed.items())), records) for by_seed in found.values()]


def _row(by_seed: dict[int, Cell], records: Records) -> Row:
    run = {seed: records[cell.key] for seed, cell in by_seed.items() if cell.key in records}
    return Row(
        next(iter(by_seed.values())),
        {seed: dict(record) for seed, record in run.items() if not was_refused(record)},
        tuple(seed for seed in by_seed if seed not in run),
        tuple(seed for seed, record in run.items() if was_refused(record)),
    )
