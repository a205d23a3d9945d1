"""The plan: stages of cells, those first that count most, later ones with the weights chosen."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from amad_study.protocol.condition import (
    TUNING_SEEDS,
    Records,
    Weights,
    at_seed,
    condition,
    is_tuned,
    tuned_as,
    with_weight,
)
from amad_study.protocol.hypotheses import HYPOTHESES
from amad_study.runs.cell import Cell

WEIGHTS = (0.03, 0.1, 0.3, 1.0)
"""The tries that every method has, of attention in units of gradient parity."""

OUTPUT_WEIGHTS = (0.1, 0.3, 1.0, 3.0)
"""The tries of the teacher's answers alone."""

QUICK_SEEDS = (102, 105, 108, 111)
"""The seeds of the quick study: a part of those that count, all of one teacher."""


@dataclass(frozen=True)
class Stage:
    """Some cells that are run together.

    Attributes:
        name: `"tuning"`, or that of a hypothesis.
        question: what they are run for.
        cells: in order; of later stages none, as long as the weights they need are not chosen.
    """

    name: str
    question: str
    cells: tuple[Cell, ...]


def choose_weights(records: Records) -> dict[str, float]:
    """For each method the weight with the best mean score on validation, over the tuning seeds.

    Of a method that has not had all its tries on all its seeds there is no weight yet. Of equal
    means the smaller weight is taken.
    """
    chosen: dict[str, float] = {}
    for one in _tuned():
        means: dict[float, float] = {}
        for weight in _tries(one):
            tries = [at_seed(with_weight(one, weight), seed).key for seed in TUNING_SEEDS]
            if all(key in records for key in tries):
                means[weight] = fmean(records[key]["curve"][-1][1] for key in tries)
        if len(means) == len(_tries(one)):
            chosen[tuned_as(one)] = max(means, key=lambda weight: (means[weight], -weight))
    return chosen


def stages(records: Records, *, quick: bool = False, weights: Weights | None = None) -> list[Stage]:
    """The whole plan as far as it is known; call it again when a stage is done.

    Args:
        records: of the cells that are finished.
        quick: the part of the cells that the quick study has. It takes its weights as they are.
        weights: chosen before; by default from the records.
    """
    chosen = choose_weights(records) if weights is None else weights
    seeds = QUICK_SEEDS if quick else None
    tuning = () if quick else tuple(_tuning())
    found = [Stage("tuning", "Which weight suits each method?", tuning)]
    done = {cell.key for cell in tuning}
    for one in HYPOTHESES:
        cells = _new(one.cells(chosen, seeds), done)
        found.append(Stage(one.name, one.sentence, cells))
    return found


def _new(cells: Iterable[Cell], done: set[str]) -> tuple[Cell, ...]:
    """Cells that no earlier stage has, each once, seed by seed so that pairs end together."""
    once = {cell.key: cell for cell in cells if cell.key not in done}
    done |= set(once)
    return tuple(sorted(once.values(), key=lambda cell: cell.seed))


def _tuning() -> Iterable[Cell]:
    for one in _tuned():
        for seed in TUNING_SEEDS:
            for weight in _tries(one):
                yield at_seed(with_weight(one, weight), seed)


def _tuned() -> list[Cell]:
    """What weights are chosen for, once for each family: on questions, all else as usual."""
    once: dict[str, Cell] = {}
    for one in HYPOTHESES:
        for comparison in one.comparisons:
            for cell in (comparison.first, comparison.second):
                if is_tuned(cell):
                    usual = condition(
                        cell.family,
                        "digit-questions",
                        cell.method,
                        temperature=cell.temperature,
                        last_temperature=cell.last_temperature,
                    )
                    once[tuned_as(cell)] = usual
    return list(once.values())


def _tries(cell: Cell) -> Sequence[float]:
    return OUTPUT_WEIGHTS if cell.method == "logits" else WEIGHTS
