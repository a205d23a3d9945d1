"""What searches for settings found: the recipe, its repetitions, and weights of translation's own.

Each is a family of its own for Holm's correction.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from typing import Any

from amad_study.analysis.conditions import rows_of, unusual
from amad_study.analysis.findings import find
from amad_study.analysis.verdicts import Verdict, verdict
from amad_study.protocol.condition import (
    CONFIRMATION_SEEDS,
    FURTHER_SEEDS,
    SEEDS,
    Records,
    Weights,
)
from amad_study.protocol.hypothesis import Hypothesis
from amad_study.protocol.own_weights import best_there, cells_there, comparison_there
from amad_study.protocol.recipe import (
    SEEDS_ELSEWHERE,
    best_settings,
    cells_elsewhere,
    comparison_elsewhere,
    confirmation,
    confirmation_again,
    confirmation_cells,
)
from amad_study.runs.cell import Cell


def recipe(records: Records) -> dict[str, Any] | None:
    """The best settings with their scores on fresh seeds, and the three comparisons.

    `None` as long as not every setting was tried.
    """
    if not (best := best_settings(records)):
        return None
    cells = confirmation_cells(best)
    return _compared(cells, *confirmation(best), records, CONFIRMATION_SEEDS)


def recipe_again(records: Records) -> dict[str, Any] | None:
    """The same settings on further seeds, and the comparisons there."""
    if not (best := best_settings(records)):
        return None
    cells = confirmation_cells(best, FURTHER_SEEDS)
    return _compared(cells, *confirmation_again(best), records, FURTHER_SEEDS)


def recipe_elsewhere(records: Records) -> dict[str, Any] | None:
    """The same settings on other tasks, and the comparisons there."""
    if not (best := best_settings(records)):
        return None
    cells = cells_elsewhere(best)
    return _compared(cells, *comparison_elsewhere(best), records, SEEDS_ELSEWHERE)


def own_weights(records: Records) -> dict[str, Any] | None:
    """AMAD and one-to-one on translation with weights chosen there, likewise."""
    if not (best := best_there(records)):
        return None
    return _compared(cells_there(best), *comparison_there(best), records, SEEDS)


def _compared(
    cells: Iterable[Cell],
    asked: Hypothesis,
    weights: Weights,
    records: Records,
    seeds: Sequence[int],
) -> dict[str, Any]:
    found = find([asked], records, weights)
    return {
        "settings": [
            {
                "family": row.cell.family,
                "task": row.cell.task,
                "method": row.cell.method,
                "weight": row.cell.weight,
                "settings": unusual(row.cell),
                "mean": row.mean,
                "spread": row.spread,
                "seeds": {str(seed): score for seed, score in row.scores.items()},
                "planned": len(seeds),
            }
            for row in rows_of(cells, records, seeds)
        ],
        **asdict(verdict(asked, found)),
        "findings": [asdict(one) for one in found],
    }


def verdict_of(found: dict[str, Any] | None) -> list[Verdict]:
    """The verdict in what `recipe` gives, if it gives anything."""
    return [Verdict(**{one.name: found[one.name] for one in fields(Verdict)})] if found else []
