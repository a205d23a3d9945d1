"""Comparisons of the protocol on seeds that it has never seen."""

from collections.abc import Sequence
from dataclasses import replace

from amad_study.protocol import hypotheses
from amad_study.protocol.chosen import shipped_recipe, shipped_weights
from amad_study.protocol.condition import (
    CONFIRMATION_SEEDS,
    FURTHER_SEEDS,
    SEEDS,
    TUNING_SEEDS,
    Weights,
    cells_of,
)
from amad_study.protocol.hypothesis import Hypothesis, Judged
from amad_study.protocol.recipe import CONFIRMED, confirmation
from amad_study.protocol.stages import in_pairs
from amad_study.runs.cell import Cell

USED = {*TUNING_SEEDS, *SEEDS, *CONFIRMATION_SEEDS, *FURTHER_SEEDS}
"""Seeds that something was chosen on, or that have been looked at."""


def named() -> list[str]:
    """What can be asked: every hypothesis, and the recipe."""
    return [*(one.name for one in hypotheses.HYPOTHESES), CONFIRMED]


def asked_afresh(
    name: str, seeds: Sequence[int], labels: Sequence[str] = ()
) -> tuple[Hypothesis, Weights]:
    """A hypothesis, or the recipe, on fresh seeds, and the weights that the study chose.

    Args:
        name: one of `named()`.
        seeds: two or more that the study has not used.
        labels: of the comparisons that are made; none: all.

    Raises:
        ValueError: an unknown name or label; seeds that are too few or used; labels of a
            hypothesis that is judged from all its comparisons together.
    """
    if len(set(seeds)) < 2:
        raise ValueError(f"seeds are {_told(seeds)}, expected at least two different ones")
    if used := sorted(USED & set(seeds)):
        raise ValueError(
            f"seeds have {_told(used)}, which the study used; expected fresh ones, as 1000-1011"
        )
    if name not in named():
        raise ValueError(f"name is {name!r}, expected one of {', '.join(named())}")
    if name == CONFIRMED:
        asked, weights = confirmation(shipped_recipe())
    else:
        asked, weights = hypotheses.hypothesis(name), shipped_weights()
    if labels and asked.judged not in (Judged.EACH, Judged.SPREAD):
        raise ValueError(f"{name} is judged from all its comparisons together; leave labels out")
    known = [one.label for one in asked.comparisons]
    if unknown := [label for label in labels if label not in known]:
        raise ValueError(f"label is {unknown[0]!r}, expected one of: {'; '.join(known)}")
    comparisons = tuple(
        replace(one, seeds=tuple(sorted(set(seeds))))
        for one in asked.comparisons
        if not labels or one.label in labels
    )
    return replace(asked, comparisons=comparisons), weights


def fresh_cells(asked: Hypothesis, weights: Weights) -> tuple[Cell, ...]:
    """Its cells, each once, seed by seed, so that what is compared ends together."""
    seeds = asked.comparisons[0].seeds
    return in_pairs(cell for one in asked.conditions for cell in cells_of(one, weights, seeds))


def _told(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds)) or "none"
