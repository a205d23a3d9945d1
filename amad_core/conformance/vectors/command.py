"""The commands ``amad vectors``. Only typer and the standard library until one runs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from amad_core.arguments.words import check_choice

if TYPE_CHECKING:
    from amad_core.conformance.reports.report import Report

vectors_app = typer.Typer(
    name="vectors",
    help="Golden vectors: check a port in any language through files.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

_Variants = Annotated[
    list[str] | None,
    typer.Option(
        "--variant",
        help="mse, kl, js, token or projected; may be given several times. Default: all.",
        show_default=False,
    ),
]


@vectors_app.command("export")
def export(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where to write; made if it is not there.")
    ],
    variant: _Variants = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the designed inputs.")] = 0,
) -> None:
    """Write inputs with expected values, weights and gradients, for ports in any language.

    JSON (with its schema), the same arrays as .npz and .safetensors, the catalogue of known
    mistakes, and SHA256SUMS. The same bytes every time and everywhere.
    """
    from amad_core.conformance.vectors.export import differing_from_release, export_vectors

    try:
        variants = _known(variant)
        for path in export_vectors(directory, variants, seed):
            typer.echo(path)
    except (OSError, ValueError) as error:
        _fail(error)
    if seed == 0 and (differing := differing_from_release(directory)):
        typer.echo(
            f"amad vectors: {', '.join(differing)} differ from the released vectors; "
            "please report this with the versions of Python and NumPy",
            err=True,
        )


@vectors_app.command("check")
def check(
    results: Annotated[
        Path,
        typer.Argument(metavar="RESULTS", help="Results file (JSON), or a directory of them."),
    ],
    vectors: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Directory of the vectors. Default: those that ship with AMAD.",
            show_default=False,
        ),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            "--variant",
            help="Variants that must be answered. Default: those that the results answer.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Tell whether results computed from the vectors are right, and if not, by which mistake.

    Exits with 0 if they are right, 1 if they are wrong or incomplete, 2 if a file cannot be used.
    """
    from amad_core.conformance.vectors.check import check_results
    from amad_core.conformance.vectors.documents import FileError

    try:
        wanted = _known(variant) if variant else ()
        reports = check_results(results, vectors=vectors, variants=wanted)
    except (FileError, ValueError) as error:
        _fail(error)
    _show(reports, as_json)
    raise typer.Exit(max(report.exit_code for report in reports))


def _known(variants: Sequence[str] | None) -> tuple[str, ...]:
    from amad_core import VARIANTS

    for variant in variants or ():
        check_choice("variant", variant, VARIANTS)
    return tuple(variant for variant in VARIANTS if not variants or variant in variants)


def _show(reports: Sequence["Report"], as_json: bool) -> None:
    if as_json:
        passed = all(report.passed for report in reports)
        document = {
            "schema": "amad-vectors-report/1",
            "verdict": "right" if passed else "wrong",
            "passed": passed,
            "variants": {report.terms.variant: report.to_json() for report in reports},
        }
        typer.echo(json.dumps(document, indent=2))
        return
    from amad_core.conformance.reports.text import print_sections

    for report in reports:
        print_sections(report.sections)
        typer.echo()


def _fail(error: Exception) -> None:
    typer.echo(f"amad vectors: {error}", err=True)
    raise typer.Exit(2) from None
