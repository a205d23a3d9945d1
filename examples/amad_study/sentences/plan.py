"""The plan for MiniLM: weights on tuning seeds, then a table."""

from collections.abc import Mapping

from amad_study.protocol.condition import SEEDS, TUNING_SEEDS, WEIGHTS, Records, best_tried
from amad_study.sentences.cell import METHODS, SentenceCell

HEADS = (12, 6, 3, 1)
"""Of students, each a table of its own."""

TUNED_WITH = 3
"""The heads of the students that weights are chosen on; they go to all others as they are."""


def tuning_cells() -> list[SentenceCell]:
    """The tries of every method that has a weight."""
    return [
        SentenceCell(method, seed, TUNED_WITH, weight)
        for seed in TUNING_SEEDS
        for method in METHODS
        for weight in WEIGHTS
        if SentenceCell(method, seed).has_attention
    ]


def choose_sentence_weights(records: Records) -> dict[str, float]:
    """For each method the weight with the best mean cosine on validation, the smaller of equals.

    Of a method that has not had all its tries there is none yet.
    """
    tries: dict[str, dict[float, list[SentenceCell]]] = {}
    for cell in tuning_cells():
        tries.setdefault(cell.method, {}).setdefault(cell.weight, []).append(cell)
    best = {method: best_tried(by_weight, records) for method, by_weight in tries.items()}
    return {method: weight for method, weight in best.items() if weight is not None}


def condition_cells(method: str, heads: int, weight: float) -> list[SentenceCell]:
    """The cells of a row of the table."""
    return [SentenceCell(method, seed, heads, weight) for seed in SEEDS]


def counted_cells(weights: Mapping[str, float]) -> list[SentenceCell]:
    """The cells of the table whose weights are known, seed by seed."""
    found = [
        cell
        for heads in HEADS
        for method in METHODS
        if (weight := weight_of(method, weights)) is not None
        for cell in condition_cells(method, heads, weight)
    ]
    return sorted(found, key=lambda cell: cell.seed)


def weight_of(method: str, weights: Mapping[str, float]) -> float | None:
    """The chosen weight; 1 for the method that has none; `None` as long as none is chosen."""
    return weights.get(method) if SentenceCell(method, 0).has_attention else 1.0


def known_cells(records: Records) -> list[SentenceCell]:
    """All cells that can be run by now: the tuning, and those whose weights it has chosen."""
    return [*tuning_cells(), *counted_cells(choose_sentence_weights(records))]


def planned() -> int:
    """How many cells the whole plan has."""
    return len(tuning_cells()) + len(counted_cells(dict.fromkeys(METHODS, 1.0)))
