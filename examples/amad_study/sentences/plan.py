"""The plan for MiniLM: weights on tuning seeds, then a table; and the run of it, to its end."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from amad_core.files import write_atomically
from amad_study.protocol.condition import SEEDS, TUNING_SEEDS, Records, best_tried
from amad_study.protocol.stages import WEIGHTS
from amad_study.runs.circumstances import surroundings
from amad_study.runs.plan import Progress
from amad_study.runs.workers import Workers
from amad_study.sentences.cell import METHODS, SentenceCell
from amad_study.sentences.minilm import CHECKSUMS
from amad_study.sentences.records import sentence_record_path
from amad_study.sentences.running import bench_for, run_sentence_cell

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


def run_sentences(
    cells: Sequence[SentenceCell],
    folder: Path,
    *,
    where: str | None = None,
    processes: int = 1,
    on_progress: Callable[[Progress], None] | None = None,
) -> dict[str, str]:
    """Run what has no record yet; whatever stops it, finished cells stay.

    Args:
        cells: each once.
        folder: of records.
        where: MiniLM is, see `find_minilm`.
        processes: how many work at a time, with one thread each; each asks MiniLM for itself.
        on_progress: called after every cell.

    Returns:
        by key, what kept a cell from being finished; such cells are tried again by the next run.
    """
    left = [cell for cell in cells if not sentence_record_path(folder, cell).exists()]
    done, troubles = len(cells) - len(left), {}
    with Workers(partial(work_on, folder=folder, where=where), processes) as workers:
        for outcome in workers.run(left):
            key = outcome.job.key
            if outcome.trouble:
                troubles[key] = outcome.trouble
            else:
                done += 1
            if on_progress is not None:
                said = outcome.trouble or outcome.answer
                on_progress(Progress(done, len(cells), key, said, outcome.seconds))
    return troubles


def work_on(cell: SentenceCell, folder: Path, where: str | None) -> str:
    """Run a cell and write its record; returns why its student diverged, if it did."""
    import torch

    torch.set_num_threads(1)
    bench, started = bench_for(cell, where), time.monotonic()
    record = run_sentence_cell(cell, bench)
    record["run"] = {
        **surroundings(time.monotonic() - started),
        "teacher": {"name": "MiniLM-L6", "sha256": CHECKSUMS["model.safetensors"]},
    }
    path = sentence_record_path(folder, cell)
    write_atomically(path, json.dumps(record, indent=1) + "\n")
    return str(record.get("diverged", ""))


def in_share(cells: Sequence[SentenceCell], part: int, parts: int) -> list[SentenceCell]:
    """One machine's part: all cells of a seed are in the same."""
    return [cell for cell in cells if cell.seed % parts == part - 1]
