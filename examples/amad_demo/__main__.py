"""Lets `python -m amad_demo` run the demo."""

import typer

from amad_demo.command import demo

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
app.command()(demo)
app(prog_name="python -m amad_demo")
