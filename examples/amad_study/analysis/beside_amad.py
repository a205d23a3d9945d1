"""How far AMAD is ahead of every other main method, place by place: shown, with no test."""

from collections.abc import Sequence
from typing import Any

from amad_study.analysis.conditions import Row
from amad_study.analysis.evidence import evidence_of
from amad_study.analysis.statistics import paired_differences
from amad_study.protocol.condition import Records, Weights, condition
from amad_study.protocol.hypothesis import Comparison
from amad_study.protocol.tables import MAIN_METHODS

AMAD = "amad-kl"


def beside_amad(rows: Sequence[Row], records: Records, weights: Weights) -> list[dict[str, Any]]:
    """AMAD minus each of the others, over seeds that pair, in every usual condition.

    Args:
        rows: of the plan; they say on which families and tasks.
        records: by key.
        weights: those that were chosen.

    Returns:
        `family`, `task`, `method`, how many `seeds` count of how many `planned`, and of their
        differences the `mean` and the ends of its 95 % interval, `low` and `high`. None of a method
        with fewer than two seeds.
    """
    places = dict.fromkeys(
        (row.cell.family, row.cell.task)
        for row in rows
        if row.usual and row.cell.method in MAIN_METHODS
    )
    found = []
    for family, task in places:
        first = condition(family, task, AMAD)
        for method in (one for one in MAIN_METHODS if one != AMAD):
            comparison = Comparison(method, first, condition(family, task, method))
            differences = list(evidence_of(comparison, records, weights).differences.values())
            if len(differences) > 1:
                paired = paired_differences(differences)
                found.append(
                    {
                        "family": family,
                        "task": task,
                        "method": method,
                        "seeds": paired.count,
                        "planned": len(comparison.seeds),
                        "mean": paired.mean,
                        "low": paired.low,
                        "high": paired.high,
                    }
                )
    return found
