"""The run of a plan, stage by stage, and what is said about it."""

import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from amad_study.analysis.numbers import about, hours_and_minutes
from amad_study.analysis.outlook import (
    UNTUNED,
    Outlook,
    outlook,
    plan_weights,
    untuned,
    whole_plan,
)
from amad_study.command.looking import look_at_one
from amad_study.command.progress import Told
from amad_study.command.reporting import write_report
from amad_study.protocol.stages import Stage, stages
from amad_study.report.names import weight_name
from amad_study.runs.plan import in_share, run_plan
from amad_study.runs.records import read_records, unfinished

_WIDE = 120
"""Columns of a terminal that has room for the questions."""


@dataclass(frozen=True)
class Choices:
    """What the user chose.

    Attributes:
        folder: of records, teachers and report.
        quick: the quick study.
        processes: students trained at a time.
        share: the part of the plan, and of how many: seeds go round.
        json_output: whether JSON is printed.
        quiet: whether nothing else is.
        stages: the names of those that are run; none for all.
    """

    folder: Path
    quick: bool
    processes: int
    share: tuple[int, int]
    json_output: bool
    quiet: bool
    stages: tuple[str, ...] = ()


def stage_names(*, quick: bool) -> list[str]:
    """What stages are called, in order."""
    return [stage.name for stage in whole_plan({}, quick=quick)]


def run_study(choices: Choices) -> bool:
    """Run what is left, stage by stage; whether all that could be known was run.

    Raises:
        DamagedRecordError: a file that is no record.
    """
    console = Console(stderr=choices.json_output, quiet=choices.quiet)
    troubles: dict[str, str] = {}
    _say_what_is_untuned(choices, console)
    while (stage := _next_stage(choices, troubles)) is not None:
        records = read_records(choices.folder)
        with Told(console, stage, records, choices.processes) as told:
            troubles |= run_plan(
                [cell for cell in stage.cells if cell.key not in troubles],
                choices.folder,
                processes=choices.processes,
                on_progress=told.progress,
            )
    _say_what_waits(choices, console)
    for key, trouble in troubles.items():
        print(f"amad study: {key}: {trouble}", file=sys.stderr)
    console.print(look_at_one(choices.folder, quick=choices.quick), highlight=False, markup=False)
    made = write_report(choices.folder, quick=choices.quick, as_json=choices.json_output)
    if choices.json_output:
        print(made)
    else:
        console.print(made, highlight=False, markup=False, soft_wrap=True)
    return not troubles


def show_plan(choices: Choices) -> None:
    """Print the stages, how far they are, and how long the rest takes."""
    records = read_records(choices.folder)
    ahead = _outlook(choices, records)
    if choices.json_output:
        print(json.dumps(_plan_as_json(ahead, choices), indent=1))
        return
    title = "The quick study" if choices.quick else "The study"
    if choices.share[1] > 1:
        title += f", share {choices.share[0]} of {choices.share[1]}"
    console = Console()
    wide = console.width >= _WIDE
    table = Table(title=title, title_style="bold", title_justify="left")
    for heading in ("stage", "question") if wide else ("stage",):
        table.add_column(heading)
    for heading in ("students", "done", "left, one core"):
        table.add_column(heading, justify="right", no_wrap=True)
    for stage in ahead.stages:
        if stage.cells:
            name = f"{stage.name} *" if stage.waits else stage.name
            left = hours_and_minutes(stage.seconds) if stage.cells > stage.done else ""
            told = [name, stage.question] if wide else [name]
            table.add_row(*told, str(stage.cells), str(stage.done), left)
    console.print(table)
    if any(stage.waits for stage in ahead.stages):
        console.print("* its students are known once the tuning is done")
    several = "s" * (ahead.teachers != 1)
    in_all = about(ahead.seconds / choices.processes)
    console.print(
        f"{ahead.teachers} teacher{several} to train, {hours_and_minutes(ahead.teacher_seconds)}. "
        f"In all {in_all} with {choices.processes} processes, by "
        f"{'records of this folder' if ahead.measured else 'rough figures'}.",
        highlight=False,
    )
    _say_what_is_untuned(choices, console)


def _next_stage(choices: Choices, troubles: dict[str, str]) -> Stage | None:
    """The first stage with something to do; `None` if there is none."""
    for stage in _mine(choices, _known(choices, read_records(choices.folder))):
        if unfinished([cell for cell in stage.cells if cell.key not in troubles], choices.folder):
            return stage
    return None


def _known(choices: Choices, records: dict[str, dict[str, Any]]) -> list[Stage]:
    weights = plan_weights(records, quick=choices.quick)
    return stages(records, quick=choices.quick, weights=weights)


def _outlook(choices: Choices, records: dict[str, dict[str, Any]]) -> Outlook:
    whole = whole_plan(records, quick=choices.quick)
    known = _known(choices, records)
    return outlook(_mine(choices, known), _mine(choices, whole), records, choices.folder)


def _mine(choices: Choices, all_stages: list[Stage]) -> list[Stage]:
    """This machine's cells of the stages that are asked for."""
    return [
        replace(one, cells=tuple(cell for cell in one.cells if in_share(cell, choices.share)))
        for one in all_stages
        if not choices.stages or one.name in choices.stages
    ]


def _say_what_waits(choices: Choices, console: Console) -> None:
    waiting = sum(
        stage.cells - stage.done
        for stage in _outlook(choices, read_records(choices.folder)).stages
        if stage.waits
    )
    if waiting:
        console.print(
            f"{waiting} students wait for weights, as their methods have not had all their tries. "
            "Run the stages 'weights for ...', and merge their shares ('amad study merge'), first.",
            highlight=False,
        )


def _say_what_is_untuned(choices: Choices, console: Console) -> None:
    missing = untuned(read_records(choices.folder)) if choices.quick else []
    if missing:
        console.print(
            f"No weight was chosen yet, here or in the study that is shipped, for {len(missing)} "
            f"ways of teaching, which are run with {UNTUNED} and may do better with another: "
            f"{'; '.join(map(weight_name, missing))}.",
            highlight=False,
        )


def _plan_as_json(ahead: Outlook, choices: Choices) -> dict[str, Any]:
    return {
        "stages": [asdict(stage) for stage in ahead.stages],
        "teachers": ahead.teachers,
        "teacher seconds": ahead.teacher_seconds,
        "seconds left": ahead.seconds / choices.processes,
        "processes": choices.processes,
        "measured": ahead.measured,
        "untuned": untuned(read_records(choices.folder)) if choices.quick else [],
    }
