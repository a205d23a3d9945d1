"""The ``amad`` command: verify a port, exchange vectors, and what other packages add to it.

A package adds a command with an entry point in the group ``amad.commands``: a function that typer
can turn into one, or a ``typer.Typer`` with commands of its own.
"""

import sys
from importlib.metadata import entry_points
from io import TextIOWrapper

from amad_core.arguments.extras import install_hint


def main() -> None:
    """Run the command line; exit with 2 and a hint where its extra is not installed."""
    try:
        import typer
    except ModuleNotFoundError as error:
        print(
            "amad: the command line needs the extra 'verify' ('distill' or 'demo' for the commands "
            "of these names), and "
            f"{error.name!r} is not installed.\nInstall it {install_hint('verify')}",
            file=sys.stderr,
        )
        raise SystemExit(2) from None

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # What a terminal's encoding has no sign for is spelt out, not refused.
            stream.reconfigure(errors="backslashreplace")

    from amad_core import __version__
    from amad_core.conformance.command import verify
    from amad_core.conformance.vectors.command import vectors_app

    app = typer.Typer(
        name="amad",
        help="Attention Map Alignment Distillation: verify a port, distil a model, see it work.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    def show_version(wanted: bool) -> None:
        if wanted:
            typer.echo(f"amad {__version__}")
            raise typer.Exit

    @app.callback()
    def _options(
        version: bool = typer.Option(
            False, "--version", help="Print the version and exit.", callback=show_version
        ),
    ) -> None:
        pass

    app.command("verify")(verify)
    app.add_typer(vectors_app, name="vectors")
    for entry in entry_points(group="amad.commands"):
        command = entry.load()
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=entry.name)
        else:
            app.command(entry.name)(command)
    app()


if __name__ == "__main__":
    main()
