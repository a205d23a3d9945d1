"""The command `amad distill`. Heavy libraries are loaded only once it runs."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from amad_distill.display import Display
    from amad_distill.settings import Settings

_FAILED, _BAD_INPUT, _INTERRUPTED = 1, 2, 130


def _help(context: typer.Context, wanted: bool) -> None:
    """The options as typer shows them, and every key of the file."""
    if not wanted:
        return
    print(context.get_help())
    try:
        from rich.console import Console

        from amad_distill.keys import explain_keys
    except ModuleNotFoundError as error:
        _missing(error)
    explain_keys(Console())
    raise typer.Exit


def _example(wanted: bool) -> None:
    if wanted:
        print((Path(__file__).parent / "example.yaml").read_text(encoding="utf-8"), end="")
        raise typer.Exit


def distill(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", metavar="FILE", help="The settings, YAML or TOML.", show_default=False
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Train nothing: load everything, run a few batches, suggest settings."
        ),
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Delete what an earlier run left, and start anew.")
    ] = False,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON; progress goes to stderr.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but errors (and JSON).")
    ] = False,
    example: Annotated[
        bool,
        typer.Option(
            "--example", help="Print a file that works, and exit.", is_eager=True, callback=_example
        ),
    ] = False,
    help_: Annotated[
        bool,
        typer.Option(
            "--help",
            "-h",
            help="Explain the options and every key of the file, and exit.",
            is_eager=True,
            callback=_help,
        ),
    ] = False,
) -> None:
    """Distil a teacher into a student: models, data, losses and training from one file.

    Ctrl-C and kill are safe: the same command goes on from the last checkpoint.

    Exits with 0 at the end, 1 if the training cannot go on, 2 if settings cannot be used.
    """
    if config is None:
        _fail("--config FILE is missing; `amad distill --example` prints one", _BAD_INPUT)
    try:
        _run(config, check=check, fresh=fresh, json_output=json_output, quiet=quiet)
    except KeyboardInterrupt:
        _fail("Stopped; the same command goes on from the last checkpoint.", _INTERRUPTED)
    except ModuleNotFoundError as error:
        _missing(error)
    except OSError as error:
        _fail(f"{error}", _BAD_INPUT)


def _run(config: Path, *, check: bool, fresh: bool, json_output: bool, quiet: bool) -> None:
    from rich.console import Console

    from amad_distill.checkpoints import is_first_process
    from amad_distill.display import Display
    from amad_distill.importing import look_beside
    from amad_distill.mistakes import SettingsError
    from amad_distill.reading import read_settings

    first = is_first_process()
    display = Display(Console(stderr=json_output), quiet=quiet or not first)
    try:
        settings = read_settings(config)
        look_beside(config)
        display.say("Loading PyTorch and Transformers ...")
        result = _checked(settings, display) if check else _distilled(settings, display, fresh)
    except SettingsError as error:
        _fail(f"{error}", _BAD_INPUT)
    if json_output and first:
        print(json.dumps(result, indent=1))


def _checked(settings: "Settings", display: "Display") -> dict[str, Any]:
    from amad_distill.run import suggested
    from amad_distill.suggested_settings import as_yaml

    parts, suggestion = suggested(settings, display)
    display.say("Who learns from whom:")
    for pair in parts.pairs:
        display.say(f"  {pair}")
    display.say(f"\n{suggestion}\n\nAs settings:\n\n{as_yaml(suggestion)}")
    return {"pairs": parts.pairs, "suggestion": suggestion.as_json()}


def _distilled(settings: "Settings", display: "Display", fresh: bool) -> dict[str, Any]:
    from amad_distill.log import TrainingError
    from amad_distill.result import in_words
    from amad_distill.run import distil

    try:
        result = distil(settings, display, fresh=fresh)
    except TrainingError as error:
        _fail(f"{error}", _FAILED)
    for line in in_words(result):
        display.say(line)
    return result


def _missing(error: ModuleNotFoundError) -> NoReturn:
    from amad_core.arguments.extras import install_hint

    _fail(f"{error}. This command needs more libraries; {install_hint('distill')}", _BAD_INPUT)


def _fail(message: str, code: int) -> NoReturn:
    print(f"amad distill: {message}", file=sys.stderr)
    raise typer.Exit(code)
