"""A condition: one row of a table, of which every seed has a cell; and how records answer."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, Protocol, TypeVar

from amad_study.runs.cell import Cell
from amad_study.runs.methods import METHODS

Records = Mapping[str, Mapping[str, Any]]
"""By the key of their cell, as `read_records` gives them."""

Weights = Mapping[str, float]
"""Chosen weights by `tuned_as`."""

Choice = TypeVar("Choice", bound=Hashable)

TUNING_SEEDS = (0, 1, 2)
SEEDS = tuple(range(100, 112))
CONFIRMATION_SEEDS = tuple(range(200, 216))
FURTHER_SEEDS = tuple(range(300, 332))
WEIGHTS = (0.03, 0.1, 0.3, 1.0)
"""The tries that every method has, of attention in units of gradient parity, the smallest first."""

TEACHERS = 3
"""So many of each kind; a seed's teacher is the rest of the seed by them."""


def condition(family: str, task: str, method: str, **settings: Any) -> Cell:
    """A cell whose seed, teacher's seed and weight stand for all that it will be run with."""
    return Cell(family, task, method, seed=0, **settings)


def tuned_as(cell: Cell) -> str:
    """What a cell's weight is chosen as: by family, method and temperature, whatever the task."""
    temperature = f"{cell.temperature:g}"
    if cell.last_temperature is not None:
        temperature += f" to {cell.last_temperature:g}"
    return f"{cell.family}, {cell.method}, temperature {temperature}"


def is_tuned(cell: Cell) -> bool:
    """Whether its method has a weight: of attention, or of the teacher's answers alone."""
    return cell.has_attention or METHODS[cell.method].output


def with_weight(cell: Cell, weight: float) -> Cell:
    """The cell with this weight of what its method teaches."""
    if cell.has_attention:
        return replace(cell, weight=weight)
    return replace(cell, output_weight=weight)


def at_seed(cell: Cell, seed: int) -> Cell:
    """The cell of a seed, with the teacher that falls to it."""
    return replace(cell, seed=seed, teacher_seed=seed % TEACHERS)


def cells_of(cell: Cell, weights: Weights, seeds: Sequence[int] = SEEDS) -> list[Cell]:
    """The cells of a condition, one a seed; none as long as its weight is not chosen."""
    if is_tuned(cell):
        if tuned_as(cell) not in weights:
            return []
        cell = with_weight(cell, weights[tuned_as(cell)])
    return [at_seed(cell, seed) for seed in seeds]


def was_refused(record: Mapping[str, Any]) -> bool:
    """Whether there is no student, as the gate let no teacher through."""
    return "refused" in record


def score_of(record: Mapping[str, Any], score: str = "main") -> float:
    """A score of a record; of a student that diverged 0.

    `"main"`: the main score of the test; `"quarter"`, `"half"`, `"end"`: that of validation after
    so much of the steps; else a score of the test by its name.

    Raises:
        KeyError: the record has no such score.
    """
    if "diverged" in record:
        return 0.0
    if score in _SHARES:
        steps = _SHARES[score] * record["cell"]["steps"]
        return float(next(value for step, value in record["curve"] if step >= steps))
    return float(record["scores"][record["main score"] if score == "main" else score])


class Keyed(Protocol):
    """A cell of any kind."""

    @property
    def key(self) -> str:
        """What its record is known by."""
        ...


def best_tried(tries: Mapping[Choice, Iterable[Keyed]], records: Records) -> Choice | None:
    """Of some choices the one with the best mean score on validation at the end of training.

    Tries whose teacher the gate refused say nothing. The earlier of equal choices is taken.

    Args:
        tries: of every choice its cells, one a tuning seed.
        records: of finished cells.

    Returns:
        `None` as long as a try has not been run, or if the gate refused all those of a choice.
    """
    means: dict[Choice, float] = {}
    for choice, cells in tries.items():
        done = [records.get(cell.key) for cell in cells]
        taught = [record for record in done if record is not None and not was_refused(record)]
        if None in done or not taught:
            return None
        means[choice] = fmean(score_of(record, "end") for record in taught)
    return max(means, key=lambda choice: means[choice])


_SHARES = {"quarter": 0.25, "half": 0.5, "end": 1.0}
