"""Lets `python -m amad_study` run the study."""

from amad_study.command import study

study(prog_name="python -m amad_study")
