"""The three ways in which the demo trains the same student: cells of the study.

AMAD and one-to-one have the settings that the study's search for a recipe found best for each.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from amad_study.runs.cell import Cell

SHIPPED = Path(__file__).parent / "teachers"
"""The folder of the teacher that comes with the package."""


@dataclass(frozen=True)
class Method:
    """One way to train the student.

    Attributes:
        title: what tables and pictures call it.
        cell: all settings; a student's seed comes in its place.
    """

    title: str
    cell: Cell


def _cell(method: str, output_weight: float = 1.0) -> Cell:
    usual = Cell("vl-t5", "digit-questions", method, seed=0, layers="first")
    return replace(usual, output_weight=output_weight)


METHODS: Mapping[str, Method] = {
    "answers": Method("Answers alone", _cell("logits", 0.3)),
    "one-to-one": Method("One-to-one", _cell("one-to-one-js")),
    "amad": Method("AMAD", _cell("amad-js")),
}

SEEDS = (201, 204)
"""Of the seeds that the study tested its recipe on, the first two with the shipped teacher."""


def cell_of(method: str, seed: int, steps: int | None = None) -> Cell:
    """The cell of a method and a seed; with so many steps instead of the study's."""
    cell = replace(METHODS[method].cell, seed=seed)
    return cell if steps is None else replace(cell, steps=steps)
