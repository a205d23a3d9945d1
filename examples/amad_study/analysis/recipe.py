"""What the search for a recipe found, and whether fresh seeds confirm it."""

from dataclasses import asdict, fields
from typing import Any

from amad_study.analysis.conditions import rows_of, unusual
from amad_study.analysis.findings import find
from amad_study.analysis.verdicts import Verdict, verdict
from amad_study.protocol.condition import CONFIRMATION_SEEDS, Records
from amad_study.protocol.recipe import best_settings, confirmation, confirmation_cells


def recipe(records: Records) -> dict[str, Any] | None:
    """The best settings with their scores on fresh seeds, and the three comparisons.

    They are a family of their own for Holm's correction, as nothing was chosen on their seeds.
    `None` as long as not every setting was tried.
    """
    best = best_settings(records)
    if not best:
        return None
    asked, weights = confirmation(best)
    found = find([asked], records, weights)
    rows = {
        row.cell.method: row
        for row in rows_of(confirmation_cells(best), records, CONFIRMATION_SEEDS)
    }
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
                "planned": len(CONFIRMATION_SEEDS),
            }
            for pairing, one in best.items()
        ],
        **asdict(verdict(asked, found)),
        "findings": [asdict(one) for one in found],
    }


def verdict_of(found: dict[str, Any] | None) -> list[Verdict]:
    """The verdict in what `recipe` gives, if it gives anything."""
    return [Verdict(**{one.name: found[one.name] for one in fields(Verdict)})] if found else []
