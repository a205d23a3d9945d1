"""Comparisons of the protocol on seeds of one's own: run, judged by themselves, and told."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from amad_study.analysis.findings import Finding, find
from amad_study.analysis.numbers import finite
from amad_study.analysis.verdicts import Verdict, verdict
from amad_study.command.progress import Told
from amad_study.protocol.condition import Weights
from amad_study.protocol.fresh import fresh_cells
from amad_study.protocol.hypothesis import Hypothesis
from amad_study.protocol.stages import Stage
from amad_study.report.findings import finding_lines
from amad_study.report.names import readable
from amad_study.runs.plan import run_plan
from amad_study.runs.records import read_records, unfinished


@dataclass(frozen=True)
class Answer:
    """What fresh seeds say.

    Attributes:
        asked: the hypothesis, with these seeds.
        findings: of its comparisons, corrected for these alone.
        verdict: from them.
    """

    asked: Hypothesis
    findings: Sequence[Finding]
    verdict: Verdict


def run_afresh(
    asked: Hypothesis,
    weights: Weights,
    folder: Path,
    *,
    processes: int = 1,
    json_output: bool = False,
) -> bool:
    """Train what has no record yet, and say what came out; whether nothing failed.

    Args:
        asked, weights: as `asked_afresh` gives them.
        folder: of records and teachers.
        processes: students trained at a time.
        json_output: whether JSON is printed, and all else goes to stderr.

    Raises:
        DamagedRecordError: a file that is no record.
    """
    console = Console(stderr=json_output)
    troubles = _trained(asked, weights, folder, processes, console)
    for key, trouble in troubles.items():
        print(f"amad study: {key}: {trouble}", file=sys.stderr)
    found = answer_of(asked, weights, folder)
    if json_output:
        print(json.dumps(as_json(found), indent=1))
    else:
        show(found, console)
    return not troubles


def _trained(
    asked: Hypothesis, weights: Weights, folder: Path, processes: int, console: Console
) -> dict[str, str]:
    stage = Stage(asked.name, asked.sentence, fresh_cells(asked, weights))
    if not unfinished(stage.cells, folder):
        return {}
    with Told(console, stage, read_records(folder), processes) as told:
        return run_plan(stage.cells, folder, processes=processes, on_progress=told.progress)


def answer_of(asked: Hypothesis, weights: Weights, folder: Path) -> Answer:
    """What the records of a folder say, by the protocol's tests."""
    findings = find([asked], read_records(folder), weights)
    return Answer(asked, findings, verdict(asked, findings))


def as_json(found: Answer) -> dict[str, Any]:
    """All of it, with `None` for what JSON has no number for."""
    told = {
        **asdict(found.verdict),
        "seeds": list(found.asked.comparisons[0].seeds),
        "findings": [asdict(one) for one in found.findings],
    }
    result: dict[str, Any] = finite(told)
    return result


def show(found: Answer, console: Console) -> None:
    """What was asked, the comparisons, and the verdict."""
    console.print(found.asked.sentence, style="bold", highlight=False)
    for one in found.findings:
        compared, told = finding_lines(asdict(one))
        console.print(f"{compared}\n  {told}", highlight=False, markup=False)
    console.print(
        f"{found.verdict.word.capitalize()}, by these seeds alone. "
        f"{readable(found.verdict.explanation)}",
        highlight=False,
        markup=False,
    )
