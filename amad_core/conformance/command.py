"""The command ``amad verify``. Only typer and the standard library until it runs."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from amad_core.conformance.reports.report import Report

_CALLING = "How the port is called"
_OUTPUT = "Reports"
_SEARCH = "How to look"


def verify(
    port: Annotated[
        str,
        typer.Argument(
            metavar="PATH_OR_MODULE:FUNCTION",
            help="The port: port.py:loss, package.module:loss, or a loss class.",
            show_default=False,
        ),
    ],
    variant: Annotated[
        str, typer.Option(help="mse, kl, js, token or projected: what the port computes.")
    ] = "mse",
    temperature: Annotated[float, typer.Option(help="Of the softmax over student heads.")] = 1.0,
    reduction: Annotated[str, typer.Option(help="Over the batch: mean, sum or none.")] = "mean",
    eps: Annotated[float, typer.Option(help="Floor inside the logarithm, if it has one.")] = 0.0,
    mask: Annotated[
        bool | None,
        typer.Option(
            "--mask/--no-mask",
            help="Judge masks, or not. Default: if the port takes one.",
            show_default=False,
        ),
    ] = None,
    no_grad: Annotated[bool, typer.Option("--no-grad", help="Do not judge gradients.")] = False,
    framework: Annotated[
        str | None,
        typer.Option(help="numpy, torch, tensorflow or jax. Default: found out."),
    ] = None,
    positional: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Pass these by position, in this order: student,teacher,mask.",
            rich_help_panel=_CALLING,
        ),
    ] = None,
    teacher_name: Annotated[
        str | None, typer.Option(help="The port's name of teacher.", rich_help_panel=_CALLING)
    ] = None,
    student_name: Annotated[
        str | None, typer.Option(help="The port's name of student.", rich_help_panel=_CALLING)
    ] = None,
    mask_name: Annotated[
        str | None, typer.Option(help="The port's name of mask.", rich_help_panel=_CALLING)
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(
            "--name",
            metavar="OURS=THEIRS",
            help="Another argument's name: --name temperature=tau.",
            rich_help_panel=_CALLING,
        ),
    ] = None,
    detached_teacher: Annotated[
        bool,
        typer.Option(
            "--detached-teacher",
            help="A gradient into the teacher is a fault; else a note.",
            rich_help_panel=_SEARCH,
        ),
    ] = False,
    layers: Annotated[
        bool,
        typer.Option(
            "--layers",
            help="The port takes lists of maps, one a layer.",
            rich_help_panel=_CALLING,
        ),
    ] = False,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Key, index or attribute of the loss in what the port returns.",
            rich_help_panel=_CALLING,
        ),
    ] = None,
    mask_form: Annotated[
        str | None,
        typer.Option(
            metavar="AXES:VALUES",
            help="How it wants its mask: BQK, B1QK, BK or B11K, and bool, int, float, inverted, "
            "additive, additive-inf or additive-1e4. Default: BQK:bool, or found out.",
            rich_help_panel=_CALLING,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, rich_help_panel=_SEARCH)] = 0,
    max_examples: Annotated[
        int, typer.Option(min=1, help="Inputs drawn by Hypothesis.", rich_help_panel=_SEARCH)
    ] = 100,
    time_limit: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=86400,
            help="Seconds that one call may take; importing has 60 of its own.",
            rich_help_panel=_SEARCH,
        ),
    ] = 60.0,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print JSON and nothing else.", rich_help_panel=_OUTPUT),
    ] = False,
    junit: Annotated[
        Path | None, typer.Option(help="Write JUnit XML, too.", rich_help_panel=_OUTPUT)
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a web page, too.", rich_help_panel=_OUTPUT)
    ] = None,
) -> None:
    """Tell whether a port of the loss is right, and if not, which mistake it makes.

    The port is a function port(*, teacher, student) that returns the loss. Both
    are NumPy, PyTorch, TensorFlow or JAX arrays: batch, heads, queries, keys. It
    runs in a process of its own.

    Exits with 0 if the port is right, 1 if it is wrong, 2 if it cannot be loaded or called.
    """
    from amad_core.conformance.examination import check_port

    try:
        names = _names(name or (), teacher=teacher_name, student=student_name, mask=mask_name)
        with _progress() as progress:
            report = check_port(
                port,
                variant=variant,
                temperature=temperature,
                reduction=reduction,
                eps=eps,
                mask=mask,
                framework=framework,
                gradients=not no_grad,
                seed=seed,
                max_examples=max_examples,
                time_limit=time_limit,
                positional=_listed(positional),
                names=names,
                layers=layers,
                detached_teacher=detached_teacher,
                output=output,
                mask_form=mask_form,
                progress=progress,
            )
    except (TypeError, ValueError) as error:
        typer.echo(f"amad verify: {error}", err=True)
        raise typer.Exit(2) from None
    _show(report, as_json)
    _save(report, junit, html)
    raise typer.Exit(report.exit_code)


@contextmanager
def _progress() -> Iterator[Callable[[str], None] | None]:
    """A line that says what is being checked, on a terminal only."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console

    # A spinner of plain characters: terminals of every encoding can show it.
    with Console(stderr=True).status("Loading the port ...", spinner="line") as status:
        yield lambda title: status.update(f"{title[:1].upper()}{title[1:]} ...")


def _listed(names: str | None) -> Sequence[str]:
    return tuple(part.strip() for part in names.split(",") if part.strip()) if names else ()


def _names(pairs: Sequence[str], **given: str | None) -> dict[str, str]:
    """Our names to the port's."""
    names = {ours: theirs for ours, theirs in given.items() if theirs}
    for pair in pairs:
        ours, equals, theirs = pair.partition("=")
        if not equals or not ours or not theirs:
            raise ValueError(f"--name must be OURS=THEIRS, such as temperature=tau; got {pair!r}")
        names[ours] = theirs
    return names


def _show(report: "Report", as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2))
        return
    from amad_core.conformance.reports.text import print_sections

    print_sections(report.sections)


def _save(report: "Report", junit: Path | None, html: Path | None) -> None:
    from amad_core.files import write_atomically

    written: list[tuple[Path, str]] = []
    if junit is not None:
        from amad_core.conformance.reports.junit import as_junit

        written.append((junit, as_junit(report)))
    if html is not None:
        from amad_core.conformance.reports.html import as_html

        written.append((html, as_html(report)))
    for path, text in written:
        try:
            write_atomically(path, text)
        except OSError as error:
            typer.echo(f"amad verify: cannot write {path}: {error}", err=True)
            raise typer.Exit(2) from None
