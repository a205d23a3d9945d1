"""Lets `python -m amad_distill` (or `accelerate launch -m amad_distill`) run the command."""

import typer

from amad_distill.command import distill

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
app.command()(distill)
app(prog_name="python -m amad_distill")
