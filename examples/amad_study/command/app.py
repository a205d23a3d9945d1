"""`amad study` and its subcommands. Heavy libraries are loaded only once one runs."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
FOLDER = Path("study-results")

study = typer.Typer(
    help="Run the study of the paper's claims: a plan of small students, resumed where it stopped.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Quick = Annotated[
    bool,
    typer.Option("--quick", help="A part of the students, in less than half an hour on two cores."),
]
MiniLM = Annotated[
    str | None,
    typer.Option("--minilm", help="A folder with MiniLM's files, or 'hub'. Default: the package."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON; all else goes to stderr.")]


@study.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    quick: Quick = False,
    processes: Annotated[
        int, typer.Option("--processes", "-p", min=1, help="Students trained at a time.")
    ] = os.cpu_count() or 1,
    folder: Annotated[
        Path, typer.Option("--folder", "-f", help="Where records, teachers and report are kept.")
    ] = FOLDER,
    share: Annotated[
        str, typer.Option("--share", help="K/N: the K-th of N machines' part, by seeds.")
    ] = "1/1",
    stage: Annotated[
        list[str] | None,
        typer.Option("--stage", help="Run this stage of --plan alone; may be repeated."),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what would be run, and run nothing.")
    ] = False,
    json_output: Json = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but errors (and JSON).")
    ] = False,
) -> None:
    """Run the study, or what is left of it, and write the report.

    Safe to stop at any moment, by whatever means: the next run goes on where this
    one stopped, and at most the students in progress are lost. Without --quick it
    takes hours; --plan says how many. Exit codes: 0 all of it is done, 1 some
    students could not be trained, 2 bad input, 130 stopped by Ctrl-C.
    """
    if context.invoked_subcommand:
        return
    with refusals(f"Finished students are kept in {folder}; the same command goes on from there."):
        from amad_study.command.running import Choices, run_study, show_plan, stage_names

        names = stage_names(quick=quick) if stage else []
        if unknown := [one for one in stage or () if one not in names]:
            fail(f"--stage is {unknown[0]!r}, expected one of: {'; '.join(names)}", BAD_INPUT)
        choices = Choices(
            folder, quick, processes, _share(share), json_output, quiet, tuple(stage or ())
        )
        if plan:
            show_plan(choices)
        elif not run_study(choices):
            raise typer.Exit(FAILED)


@study.command()
def merge(
    folders: Annotated[list[Path], typer.Argument(help="Folders of several machines.")],
    into: Annotated[Path, typer.Option("--into", help="The folder that gets all of them.")],
) -> None:
    """Copy the records and teachers of several machines into one folder.

    What is there already stays. Then `amad study --folder INTO` goes on with
    them, and `amad study report INTO` judges them together.
    """
    with refusals():
        from amad_study.runs.records import merge as merge_records

        for folder in folders:
            _must_be_study(folder)
        done = merge_records(folders, into)
        print(f"{done.copied} records copied into {into}, {done.known} were there.")
        if done.differing:
            print(
                f"{len(done.differing)} of them came out differently on another machine; those "
                f"that were there stayed. The first: {done.differing[0]}",
                file=sys.stderr,
            )


@study.command()
def report(
    folder: Annotated[Path, typer.Argument(help="The folder of a study.")] = FOLDER,
    quick: Quick = False,
    json_output: Json = False,
) -> None:
    """Write FOLDER/report.html and FOLDER/results.json from the records that are there."""
    with refusals():
        from amad_study.command.reporting import write_report

        _must_be_study(folder)
        print(write_report(folder, quick=quick, as_json=json_output))


@study.command()
def cell(
    record: Annotated[Path, typer.Argument(help="The record of a student.")],
    folder: Annotated[
        Path | None,
        typer.Option(help="Where its teacher is. Default: that of the record's study."),
    ] = None,
    fresh_teacher: Annotated[
        bool, typer.Option("--fresh-teacher", help="Train the teacher again, too (minutes).")
    ] = False,
    within: Annotated[
        float, typer.Option(help="Points by which the main score may differ.", min=0)
    ] = 0.0,
    minilm: MiniLM = None,
    json_output: Json = False,
) -> None:
    """Train the student of a record again, and compare it with what was recorded.

    A record of either kind: of the study, or of the students of MiniLM. On the
    machine and with the versions of the record every number is the same;
    elsewhere rounding adds up to another student of the same kind. Exit codes:
    0 the same (or within --within points), 1 not, 2 bad input.
    """
    with refusals():
        from amad_study.command.again import compare_again

        same = compare_again(
            record,
            folder,
            fresh_teacher=fresh_teacher,
            minilm=minilm,
            within=within,
            json_output=json_output,
        )
        if not same:
            raise typer.Exit(FAILED)


@study.command()
def fresh(
    name: Annotated[str, typer.Argument(help="A hypothesis, as H1, or R, the recipe.")],
    seeds: Annotated[
        str, typer.Option("--seeds", "-s", help="Seeds that the study has not used, as 1000-1011.")
    ],
    label: Annotated[
        list[str] | None,
        typer.Option("--label", help="This comparison alone, by its label; may be repeated."),
    ] = None,
    folder: Annotated[
        Path, typer.Option("--folder", "-f", help="Where records and teachers are kept.")
    ] = Path("fresh-results"),
    processes: Annotated[
        int, typer.Option("--processes", "-p", min=1, help="Students trained at a time.")
    ] = os.cpu_count() or 1,
    json_output: Json = False,
) -> None:
    """Ask a hypothesis, or the recipe, again on seeds of your own.

    With the weights and settings that the study chose, and by its tests, corrected
    for these comparisons alone. Safe to stop at any moment; the same command goes
    on. Exit codes: 0 all is done, 1 some students could not be trained, 2 bad
    input, 130 stopped by Ctrl-C.
    """
    with refusals(f"Finished students are kept in {folder}; the same command goes on from there."):
        from amad_study.command.fresh import run_afresh
        from amad_study.protocol.fresh import asked_afresh

        try:
            asked, weights = asked_afresh(name, _numbers("--seeds", seeds), label or ())
        except ValueError as error:
            fail(f"{error}", BAD_INPUT)
        done = run_afresh(asked, weights, folder, processes=processes, json_output=json_output)
        if not done:
            raise typer.Exit(FAILED)


@study.command()
def weights(
    folder: Annotated[Path, typer.Argument(help="The folder of a study.")] = FOLDER,
    recipe: Annotated[
        bool, typer.Option("--recipe", help="The recipe's settings instead; {} before all tries.")
    ] = False,
) -> None:
    """Print the weights that a study's tuning has chosen so far, as JSON."""
    with refusals():
        from amad_study.protocol.recipe import best_settings
        from amad_study.protocol.stages import choose_weights
        from amad_study.runs.records import read_records

        records = read_records(folder)
        chosen: dict[str, object] = (
            {pairing: one.as_json() for pairing, one in best_settings(records).items()}
            if recipe
            else dict(sorted(choose_weights(records).items()))
        )
        print(json.dumps(chosen, indent=1))


@study.command()
def look(
    folder: Annotated[Path, typer.Argument(help="The folder of a study.")] = FOLDER,
    quick: Quick = False,
) -> None:
    """Train one student again and keep its alignment and what it looks at, for the report."""
    with refusals():
        from amad_study.command.looking import look_at_one

        print(look_at_one(folder, quick=quick))


@study.command()
def sentences(
    folder: Annotated[
        Path, typer.Option("--folder", "-f", help="Where records and report are kept.")
    ] = FOLDER,
    minilm: MiniLM = None,
    processes: Annotated[
        int, typer.Option("--processes", "-p", min=1, help="Students trained at a time.")
    ] = os.cpu_count() or 1,
    share: Annotated[
        str, typer.Option("--share", help="K/N: the K-th of N machines' part, by seeds.")
    ] = "1/1",
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what would be run, and run nothing.")
    ] = False,
) -> None:
    """Run the students of a teacher that was really pre-trained, MiniLM-L6, or what is left.

    An experiment of its own beside the others, safe to stop at any moment. The
    model comes with the extra 'minilm', or from a folder, or the hub. Exit codes:
    0 all of it is done, 1 some students could not be trained, 2 bad input, 130
    stopped by Ctrl-C.
    """
    with refusals(f"Finished students are kept in {folder}; the same command goes on from there."):
        from amad_study.command.sentences import run_sentence_study, show_sentence_plan

        part = _share(share)
        if plan:
            show_sentence_plan(folder, processes)
        elif not run_sentence_study(folder, where=minilm, processes=processes, share=part):
            raise typer.Exit(FAILED)


@study.command()
def page(
    markdown: Annotated[Path, typer.Argument(help="The page whose figures are replaced.")],
    results: Annotated[
        Path | None,
        typer.Option(help="The results.json of a full study. Default: none, as long as none is."),
    ] = None,
) -> None:
    """Put the figures of results.json into the marked places of a page of the documentation."""
    with refusals():
        from amad_study.command.reporting import fill_page

        try:
            fill_page(markdown, results)
        except ValueError as error:
            fail(f"{error}", BAD_INPUT)
        print(f"{markdown} shows {results or 'that there are no results yet'}.")


def fail(message: str, code: int) -> None:
    """End with a line on stderr."""
    print(f"amad study: {message}", file=sys.stderr)
    raise typer.Exit(code)


@contextmanager
def refusals(when_stopped: str = "") -> Iterator[None]:
    """Turns what can go wrong outside the program into a line and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        fail(f"Stopped. {when_stopped}".strip(), INTERRUPTED)
    except ModuleNotFoundError as error:
        from amad_core.arguments.extras import install_hint

        fail(f"{error}. The study needs more libraries; {install_hint('study')}", BAD_INPUT)
    except OSError as error:
        fail(f"{error}", BAD_INPUT)
    except Exception as error:
        from amad_study.runs.records import DamagedRecordError
        from amad_study.sentences.minilm import OtherModelError

        if not isinstance(error, DamagedRecordError | OtherModelError):
            raise
        fail(f"{error}", BAD_INPUT)


def _must_be_study(folder: Path) -> None:
    from amad_study.runs.records import is_study

    if not is_study(folder):
        fail(f"{folder} has no records, expected the folder of a study", BAD_INPUT)


def _numbers(option: str, text: str) -> list[int]:
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = (one.strip() for one in part.partition("-"))
        if not (first.isdigit() and (last.isdigit() or not dash)):
            fail(f"{option} is {text!r}, expected numbers and ranges, as 1000-1011,1020", BAD_INPUT)
        found += range(int(first), int(last or first) + 1)
    return found


def _share(text: str) -> tuple[int, int]:
    part, _, parts = text.partition("/")
    if not (part.isdigit() and parts.isdigit() and 1 <= int(part) <= int(parts)):
        fail(f"--share is {text!r}, expected K/N with K from 1 to N, as 1/3", BAD_INPUT)
    return int(part), int(parts)
