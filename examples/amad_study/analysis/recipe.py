"""What searches for settings found: the recipe, confirmed twice, and weights of translation's own.

Each is a family of its own for Holm's correction.
"""

from collections.abc import Iterable, Mapping, Sequence
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
    best_settings,
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
    return _compared(best, cells, *confirmation(best), records, CONFIRMATION_SEEDS)


def recipe_again(records: Records) -> dict[str, Any] | None:
    """The same settings on further seeds, and the comparisons there."""
    if not (best := best_settings(records)):
        return None
    cells = confirmation_cells(best, FURTHER_SEEDS)
    return _compared(best, cells, *confirmation_again(best), records, FURTHER_SEEDS)


def own_weights(records: Records) -> dict[str, Any] | None:
    """AMAD and one-to-one on translation with weights chosen there, likewise."""
    if not (best := best_there(records)):
        return None
    return _compared(best, cells_there(best), *comparison_there(best), records, SEEDS)


def _compared(
    best: Mapping[str, Cell],
    cells: Iterable[Cell],
    asked: Hypothesis,
    weights: Weights,
    records: Records,
    seeds: Sequence[int],
) -> dict[str, Any]:
    found = find([asked], records, weights)
    rows = {row.cell.method: row for row in rows_of(cells, records, seeds)}
    return {
        "settings": [
            {
                "pairing": pairing,
                "method": one.method,
                "weight": one.weight,
                "settings": unusual(one),
                "mean": rows[one.method].mean,
                "spread": rows[one.method].spread,
                "seeds": {str(seed): score for seed, score in rows[one.method].scores.items()},
                "planned": len(seeds),
            }
            for pairing, one in best.items()
        ],
        **asdict(verdict(asked, found)),
        "findings": [asdict(one) for one in found],
    }


def verdict_of(found: dict[str, Any] | None) -> list[Verdict]:
    """The verdict in what `recipe` gives, if it gives anything."""
    return [Verdict(**{one.name: found[one.name] for one in fields(Verdict)})] if found else []
