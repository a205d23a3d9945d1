"""The plan: stages of cells, those first that count most, later ones with the weights chosen."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from amad_study.protocol.condition import (
    FURTHER_SEEDS,
    SEEDS,
    TUNING_SEEDS,
    WEIGHTS,
    Records,
    Weights,
    at_seed,
    best_tried,
    cells_of,
    condition,
    is_tuned,
    tuned_as,
    with_weight,
)
from amad_study.protocol.hypotheses import HYPOTHESES, TASKS
from amad_study.protocol.hypothesis import Hypothesis
from amad_study.protocol.own_weights import TRIED, best_there, cells_there
from amad_study.protocol.recipe import (
    FIRST_ROUND,
    best_of,
    best_settings,
    cells_elsewhere,
    changed,
    confirmation_cells,
    on_tuning_seeds,
)
from amad_study.protocol.tables import LATER_TABLES, TABLES, Table
from amad_study.runs.cell import Cell

OUTPUT_WEIGHTS = (0.1, 0.3, 1.0, 3.0)
"""The tries of the teacher's answers alone."""

QUICK_SEEDS = (102, 105, 108, 111)
"""The seeds of the quick study: a part of those that count, all of one teacher."""

ORDER: tuple[Hypothesis | Table, ...] = (
    *HYPOTHESES[:4],
    TABLES[0],
    *HYPOTHESES[4:],
    *TABLES[1:],
)
"""What counts most comes first; of each item first what is asked on the first of `TASKS`."""

LAST: tuple[Table, ...] = LATER_TABLES
"""What comes after the recipe, with the weights that were chosen before."""


@dataclass(frozen=True)
class Stage:
    """Some cells that are run together.

    Attributes:
        name: of a hypothesis or table, `"weights for ..."` before it.
        question: what they are run for.
        cells: in order; none, as long as the weights that they need are not chosen.
        apart: whether they are shown by themselves, and not as conditions beside all others, from
            which their weights alone may set them apart.
    """

    name: str
    question: str
    cells: tuple[Cell, ...]
    apart: bool = False


def choose_weights(records: Records) -> dict[str, float]:
    """For each method the weight with the best mean score on validation, over the tuning seeds.

    Of a method that has not had all its tries there is no weight yet. Of equal means the smaller
    weight is taken. See `best_tried`.
    """
    chosen: dict[str, float] = {}
    for one in {tuned_as(cell): _usual(cell) for cell in _every_condition()}.values():
        if is_tuned(one):
            tries = {weight: on_tuning_seeds([with_weight(one, weight)]) for weight in _tries(one)}
            if (best := best_tried(tries, records)) is not None:
                chosen[tuned_as(one)] = best
    return chosen


def stages(
    records: Records,
    *,
    quick: bool = False,
    weights: Weights | None = None,
    guess: bool = False,
) -> list[Stage]:
    """The whole plan as far as it is known; call it again when a stage is done.

    There are the same stages at every call, and no cell is in two.

    Args:
        records: of the cells that are finished.
        quick: the part of the cells that the quick study has. It takes its weights as they are.
        weights: chosen before; by default from the records.
        guess: take the first setting where the recipe's best is not known, to count cells by.
    """
    chosen = choose_weights(records) if weights is None else weights
    found: list[Stage] = []
    done: set[str] = set()
    for first, end in ((True, ""), (False, ", further tasks")):
        for item in ORDER:
            conditions = [one for one in item.conditions if _is_first(one) == first]
            if not conditions or (quick and not (first and item.quick)):
                continue
            tries = _new(_tuning(conditions), done)
            if tries and not quick:
                question = f"Which weights suit the methods of {item.name}?"
                found.append(Stage(f"weights for {item.name}{end}", question, tries))
            seeds = QUICK_SEEDS if quick else SEEDS
            cells = [cell for one in conditions for cell in cells_of(one, chosen, seeds)]
            found.append(Stage(f"{item.name}{end}", _question(item), in_pairs(_new(cells, done))))
    if quick:
        return found
    found += _recipe(records, done, guess)
    found += _own_weights(records, done, guess)
    for table in LAST:
        cells = [cell for one in table.conditions for cell in cells_of(one, chosen, SEEDS)]
        found.append(Stage(table.name, table.question, in_pairs(_new(cells, done))))
    return found


def _recipe(records: Records, done: set[str], guess: bool) -> list[Stage]:
    """The first round has no stage: its cells are tries that every method has anyway."""
    first = {pairing: settings[0] for pairing, settings in FIRST_ROUND.items()} if guess else {}
    best = {
        pairing: best_of(settings, records) or first.get(pairing)
        for pairing, settings in FIRST_ROUND.items()
    }
    tried = on_tuning_seeds(one for base in best.values() if base for one in changed(base))
    found = best_settings(records) or first
    confirmed = confirmation_cells(found)
    again = confirmation_cells(found, FURTHER_SEEDS)
    elsewhere = cells_elsewhere(found)
    return [
        Stage(
            "recipe, second round",
            "What else helps the best setting?",
            _new(tried, done),
            apart=True,
        ),
        Stage(
            "recipe", "Is the best setting the best?", in_pairs(_new(confirmed, done)), apart=True
        ),
        Stage(
            "recipe, further seeds",
            "Is it on further seeds, too?",
            in_pairs(_new(again, done)),
            apart=True,
        ),
        Stage(
            "recipe, other tasks",
            "Is it on other tasks, too?",
            in_pairs(_new(elsewhere, done)),
            apart=True,
        ),
    ]


def _own_weights(records: Records, done: set[str], guess: bool) -> list[Stage]:
    tries = on_tuning_seeds(one for settings in TRIED.values() for one in settings)
    first = {pairing: settings[0] for pairing, settings in TRIED.items()} if guess else {}
    there = cells_there(best_there(records) or first)
    question = "Is AMAD behind on translation with a weight chosen there, too?"
    return [
        Stage("translation, weights tried", question, _new(tries, done), apart=True),
        Stage("translation, weights of its own", question, in_pairs(_new(there, done)), apart=True),
    ]


def _is_first(cell: Cell) -> bool:
    return (cell.family, cell.task) == TASKS[0]


def _question(item: Hypothesis | Table) -> str:
    return item.sentence if isinstance(item, Hypothesis) else item.question


def _every_condition() -> Iterable[Cell]:
    for item in ORDER:
        yield from item.conditions


def _new(cells: Iterable[Cell], done: set[str]) -> tuple[Cell, ...]:
    """Cells that no earlier stage has, each once."""
    once = {cell.key: cell for cell in cells if cell.key not in done}
    done |= set(once)
    return tuple(once.values())


def in_pairs(cells: Iterable[Cell]) -> tuple[Cell, ...]:
    """Seed by seed, so that what is compared ends together."""
    return tuple(sorted(cells, key=lambda cell: cell.seed))


def _tuning(conditions: Iterable[Cell]) -> Iterable[Cell]:
    for one in conditions:
        if is_tuned(one):
            for seed in TUNING_SEEDS:
                for weight in _tries(one):
                    yield at_seed(with_weight(_usual(one), weight), seed)


def _usual(cell: Cell) -> Cell:
    """What its weight is chosen on: questions, and all else as usual."""
    return condition(
        cell.family,
        "digit-questions",
        cell.method,
        temperature=cell.temperature,
        last_temperature=cell.last_temperature,
    )


def _tries(cell: Cell) -> Sequence[float]:
    return OUTPUT_WEIGHTS if cell.method == "logits" else WEIGHTS
