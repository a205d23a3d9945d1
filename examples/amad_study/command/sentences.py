"""The run of the students of MiniLM, and what is said about it."""

import sys
from pathlib import Path
from statistics import median

from amad_study.analysis.numbers import about
from amad_study.command.reporting import write_report
from amad_study.runs.plan import Progress, in_share, run_plan
from amad_study.runs.records import read_records, unfinished
from amad_study.sentences.cell import SentenceCell
from amad_study.sentences.minilm import find_minilm
from amad_study.sentences.plan import known_cells, planned
from amad_study.sentences.running import WorkOnSentences

_A_CELL = 20.0
"""Seconds, until there are records to go by."""


def show_sentence_plan(folder: Path, processes: int) -> None:
    """Print how many students there are, and how long those that are left take."""
    records = read_records(folder, SentenceCell)
    seconds = median([one["run"]["elapsed"] for one in records.values()] or [_A_CELL])
    left = planned() - len(records)
    print(
        f"{planned()} students of MiniLM, {len(records)} done; the rest takes "
        f"{about(left * seconds / processes)} with {processes} processes."
    )


def run_sentence_study(
    folder: Path, *, where: str | None, processes: int, share: tuple[int, int]
) -> bool:
    """Run the tuning, then the table; whether nothing failed.

    Raises:
        FileNotFoundError: MiniLM is not there.
        OtherModelError: it is another model.
    """
    find_minilm(where)
    troubles: dict[str, str] = {}
    while True:
        known = known_cells(read_records(folder, SentenceCell))
        cells = [cell for cell in known if in_share(cell, share) and cell.key not in troubles]
        if not unfinished(cells, folder):
            break
        troubles |= run_plan(
            cells, folder, work=WorkOnSentences(where), processes=processes, on_progress=_say
        )
    for key, trouble in troubles.items():
        print(f"amad study sentences: {key}: {trouble}", file=sys.stderr)
    done = len(read_records(folder, SentenceCell))
    print(f"{done} of {planned()} students of MiniLM are in {folder}.")
    print(write_report(folder))
    return not troubles


def _say(progress: Progress) -> None:
    trouble = f"  {progress.trouble}" if progress.trouble else ""
    print(
        f"{progress.done}/{progress.cells}  {progress.key}  {progress.seconds:.0f} s{trouble}",
        flush=True,
    )
