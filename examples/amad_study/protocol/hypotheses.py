"""The hypotheses of the study, in the order in which they count."""

from typing import Any

from amad_study.protocol.condition import condition
from amad_study.protocol.hypothesis import Comparison, Hypothesis, Judged
from amad_study.runs.cell import Cell

TASKS = (("vl-t5", "digit-questions"),)
"""Family and task, in the order in which they run."""


def _against(other: str, *, score: str = "main", **settings: Any) -> tuple[Comparison, ...]:
    """AMAD by KL minus another method, on every task."""
    return tuple(
        Comparison(
            f"{family}, {task}",
            condition(family, task, "amad-kl", **settings),
            condition(family, task, other, **settings),
            score,
        )
        for family, task in TASKS
    )


def _questions(method: str, **settings: Any) -> Cell:
    return condition("vl-t5", "digit-questions", method, **settings)


HYPOTHESES = (
    Hypothesis(
        "H1",
        "AMAD beats one-to-one with the same divergence.",
        _against("one-to-one-kl"),
    ),
    Hypothesis(
        "H2",
        "AMAD beats best match with the same divergence.",
        _against("best-match-kl"),
    ),
    Hypothesis(
        "H3",
        "Against the mean map AMAD falls behind where a question takes more steps.",
        tuple(
            Comparison(
                f"vl-t5, {steps}",
                _questions("amad-kl"),
                _questions("mean-head-kl"),
                f"accuracy: {steps}",
            )
            for steps in ("1 step", "2 steps", "3 steps")
        ),
        Judged.CONTRAST,
        expected=-1,
    ),
    Hypothesis(
        "H4",
        "The spread of AMAD over orders of heads is at most half of one-to-one's.",
        _against("one-to-one-kl"),
        Judged.SPREAD,
        expected=-1,
    ),
)


def hypothesis(name: str) -> Hypothesis:
    """A hypothesis by its name.

    Raises:
        ValueError: there is none of that name.
    """
    for one in HYPOTHESES:
        if one.name == name:
            return one
    raise ValueError(f"name is {name!r}, expected one of {', '.join(h.name for h in HYPOTHESES)}")
