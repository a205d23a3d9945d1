"""What the records of sentences say, as JSON: all that the report shows of them."""

from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from amad_study.protocol.condition import score_of
from amad_study.runs.records import read_records
from amad_study.sentences.cell import METHODS, SentenceCell
from amad_study.sentences.plan import (
    HEADS,
    choose_sentence_weights,
    condition_cells,
    counted_cells,
    planned,
    tuning_cells,
    weight_of,
)

SCORES = ("cosine", "recall at 1", "same neighbour")


def summarise_sentences(folder: Path) -> dict[str, Any]:
    """Every row of the table with all its seeds.

    Returns:
        `planned` and `done` cells; `weights` that were chosen; `corpora`, checksums of the
        sentences that students learned from, one if all had the same; `rows`.

    Raises:
        DamagedRecordError: a file that is no record.
    """
    records = read_records(folder, SentenceCell)
    weights = choose_sentence_weights(records)
    known = {cell.key for cell in [*tuning_cells(), *counted_cells(weights)]}
    return {
        "planned": planned(),
        "done": len(known & set(records)),
        "weights": weights,
        "corpora": sorted({records[key]["corpus"] for key in known & set(records)}),
        "rows": [_row(method, heads, weights, records) for heads in HEADS for method in METHODS],
    }


def _row(
    method: str, heads: int, weights: dict[str, float], records: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    weight = weight_of(method, weights)
    cells = [] if weight is None else condition_cells(method, heads, weight)
    found = {cell.seed: records[cell.key] for cell in cells if cell.key in records}
    seeds = {
        str(seed): {name: score_of(record, name) for name in SCORES}
        for seed, record in found.items()
    }
    return {
        "method": method,
        "heads": heads,
        "weight": weight,
        "seeds": seeds,
        "means": {
            name: fmean(one[name] for one in seeds.values()) if seeds else None for name in SCORES
        },
        "spreads": {
            name: stdev(one[name] for one in seeds.values()) if len(seeds) > 1 else None
            for name in SCORES
        },
        "half": fmean(score_of(one, "half") for one in found.values()) if found else None,
        "diverged": [seed for seed, one in found.items() if "diverged" in one],
    }
