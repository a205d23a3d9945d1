"""The command `amad demo`. Heavy libraries are loaded only once it runs."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from amad_demo.demonstration import Choices
    from amad_distill.display import Display

_BAD_INPUT, _INTERRUPTED = 2, 130
_DEFAULT_SEEDS = (0, 1, 2)


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Directory for results and pictures.")
    ] = Path("demo-results"),
    seed: Annotated[
        list[int] | None,
        typer.Option("--seed", help="Seed to run; repeat for several. Default: 0, 1 and 2.", min=0),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(help="Training steps for each student; a few for a quick try.", min=1),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(help="Directory of a teacher you made. Default: the one that is shipped."),
    ] = None,
    remake_teacher: Annotated[
        bool,
        typer.Option(
            "--remake-teacher",
            help="Train the teacher from nothing instead (a few minutes), check that it uses the "
            "image, and write it to --teacher (default: OUTPUT/teacher).",
        ),
    ] = False,
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

    The student is trained three ways: on ground truth alone, with one-to-one
    attention distillation, and with AMAD, on questions about scenes of real
    handwritten digits. Takes three to four minutes on one CPU core and downloads
    nothing. Ctrl-C is safe: the next run goes on where this one stopped.
    """
    try:
        _run(output, seed, steps, teacher, remake_teacher, fresh, json_output, quiet)
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
    teacher: Path | None,
    remake: bool,
    fresh: bool,
    json_output: bool,
    quiet: bool,
) -> None:
    from rich.console import Console

    from amad_distill.display import Display

    display = Display(Console(stderr=json_output), quiet=quiet)
    if not quiet:
        display.say("Loading PyTorch and Transformers ...")
    from amad_demo.demonstration import Choices

    seeds = list(dict.fromkeys(seed if seed else _DEFAULT_SEEDS))
    choices = Choices(output=output, seeds=seeds, steps=steps, teacher=teacher, fresh=fresh)
    if remake:
        _remake(choices, display)
    else:
        _demonstrate(choices, display, json_output)


def _demonstrate(choices: "Choices", display: "Display", json_output: bool) -> None:
    from amad_demo.demonstration import run_demo, show_results
    from amad_demo.results import DamagedResultsError
    from amad_demo.teacher import DamagedTeacherError

    try:
        results = run_demo(choices, display)
    except (DamagedResultsError, DamagedTeacherError) as error:
        _fail(f"{error}", _BAD_INPUT)
    show_results(results, choices, display)
    if json_output:
        print(json.dumps(results.as_json(), indent=1))


def _remake(choices: "Choices", display: "Display") -> None:
    from amad_demo.demonstration import remake_teacher
    from amad_demo.teacher import TeacherRecipe

    directory = choices.teacher or choices.output / "teacher"
    gate = remake_teacher(directory, TeacherRecipe(), display)
    if not gate.passed:
        _fail(f"The teacher was not written: {gate}", 1)


def _fail(message: str, code: int) -> None:
    print(f"amad demo: {message}", file=sys.stderr)
    raise typer.Exit(code)
