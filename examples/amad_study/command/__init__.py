"""The command `amad study`: runs the plan, merges machines, and writes the report."""

from amad_study.command.app import study

__all__ = ["study"]
