"""An addition to H1: AMAD and one-to-one on translation, each with a weight that was chosen there.

All weights are chosen on questions. On translation, where VL-T5's students of AMAD were behind,
others may be best.
"""

from collections.abc import Mapping

from amad_study.protocol.condition import (
    SEEDS,
    WEIGHTS,
    Records,
    Weights,
    at_seed,
    condition,
    tuned_as,
    with_weight,
)
from amad_study.protocol.hypothesis import Comparison, Hypothesis
from amad_study.protocol.recipe import best_of
from amad_study.runs.cell import Cell

NAMED = "W"
"""What the comparison is called beside the hypotheses."""

TRIED: Mapping[str, tuple[Cell, ...]] = {
    pairing: tuple(
        with_weight(condition("vl-t5", "digit-translation", f"{pairing}-kl"), weight)
        for weight in WEIGHTS
    )
    for pairing in ("amad", "one-to-one")
}


def best_there(records: Records) -> dict[str, Cell]:
    """Of both pairings the one with the best weight; nothing before all tries are there."""
    best = {pairing: best_of(tries, records) for pairing, tries in TRIED.items()}
    known = {pairing: one for pairing, one in best.items() if one is not None}
    return known if len(known) == len(best) else {}


def cells_there(best: Mapping[str, Cell]) -> list[Cell]:
    """Both with every seed that counts."""
    return [at_seed(one, seed) for one in best.values() for seed in SEEDS]


def comparison_there(best: Mapping[str, Cell]) -> tuple[Hypothesis, Weights]:
    """What is compared, and the weights that its cells have."""
    sentence = "With weights chosen on translation AMAD beats one-to-one there with VL-T5."
    both = Comparison("vl-t5, digit-translation", best["amad"], best["one-to-one"])
    weights = {tuned_as(one): one.weight for one in best.values()}
    return Hypothesis(NAMED, sentence, (both,)), weights
