"""The command `amad demo`. Heavy libraries are loaded only once it runs."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

_BAD_INPUT, _INTERRUPTED = 2, 130


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Directory for results and pictures.")
    ] = Path("demo-results"),
    seed: Annotated[
        list[int] | None,
        typer.Option(
            "--seed",
            help="Seed to run; repeat for several. Default: 201 and 204, two of the study's.",
            min=0,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(help="Training steps for each student; a few for a quick try.", min=1),
    ] = None,
    teachers: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a teacher of your own; if it has none, one is trained from nothing "
            "(a few minutes) and written there. Default: the one that is shipped."
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Train everything anew, whatever was saved.")
    ] = False,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print the results as JSON; progress goes to stderr.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but errors (and JSON).")
    ] = False,
) -> None:
    """Distil a vision-language teacher into a student with fewer heads.

    The student learns to answer questions about scenes of real handwritten
    digits in three ways: from the teacher's answers alone, with one-to-one
    distillation of attention, and with AMAD. Takes three minutes on one CPU core
    and downloads nothing. Ctrl-C is safe: the next run goes on where this one stopped.
    """
    try:
        _run(output, seed, steps, teachers, fresh, json_output, quiet)
    except KeyboardInterrupt:
        _fail(
            f"Stopped. Finished students are kept in {output}; "
            "the same command goes on from there.",
            _INTERRUPTED,
        )
    except ModuleNotFoundError as error:
        from amad_core.arguments.extras import install_hint

        _fail(f"{error}. The demo needs more libraries; {install_hint('demo')}", _BAD_INPUT)
    except OSError as error:
        _fail(f"{error}", _BAD_INPUT)


def _run(
    output: Path,
    seed: list[int] | None,
    steps: int | None,
    teachers: Path | None,
    fresh: bool,
    json_output: bool,
    quiet: bool,
) -> None:
    from rich.console import Console

    from amad_distill.display import Display

    display = Display(Console(stderr=json_output), quiet=quiet)
    if not quiet:
        display.say("Loading PyTorch and Transformers ...")
    from amad_demo.demonstration import Choices, run_demo, show_results
    from amad_demo.methods import SEEDS, SHIPPED
    from amad_demo.results import DamagedResultsError
    from amad_study.models.gate import GateError

    seeds = list(dict.fromkeys(seed if seed else SEEDS))
    choices = Choices(output, seeds, steps, teachers or SHIPPED, fresh)
    try:
        results = run_demo(choices, display)
    except (DamagedResultsError, ValueError) as error:
        _fail(f"{error}", _BAD_INPUT)
    except (GateError, FloatingPointError) as error:
        _fail(f"{error}", 1)
    show_results(results, choices, display)
    if json_output:
        print(json.dumps(results.as_json(), indent=1))


def _fail(message: str, code: int) -> None:
    print(f"amad demo: {message}", file=sys.stderr)
    raise typer.Exit(code)
