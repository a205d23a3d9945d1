"""Tables of conditions beside the hypotheses: shown whole, with no test of their own."""

from dataclasses import dataclass

from amad_study.protocol.condition import condition
from amad_study.protocol.hypotheses import TASKS
from amad_study.runs.cell import Cell

PAIRINGS = ("one-to-one", "mean-head", "best-match", "amad")
DIVERGENCES = ("mse", "kl", "js")
ATTENTION_METHODS = ("one-to-one-kl", "mean-head-kl", "best-match-kl", "amad-kl")
MAIN_METHODS = ("ground-truth", "logits", *ATTENTION_METHODS)
OTHER_METHODS = ("grouped-means-kl", "align-to-distill", "squeezing-heads", "minilmv2-relation")


@dataclass(frozen=True)
class Table:
    """Conditions side by side.

    Attributes:
        name: short, as of a stage.
        question: what it shows.
        conditions: the rows.
        quick: whether the quick study has it.
    """

    name: str
    question: str
    conditions: tuple[Cell, ...]
    quick: bool = False


def _task_table(family: str, task: str, *, quick: bool = False) -> Table:
    return Table(
        f"{family}, {task}",
        f"What do {family} students learn from each method on {task}?",
        tuple(condition(family, task, method) for method in MAIN_METHODS),
        quick,
    )


TABLES = (
    *(_task_table(*one, quick=one == TASKS[0]) for one in TASKS),
    Table(
        "pairing and divergence",
        "Is a gain due to the pairing of heads, or to what they are compared by?",
        tuple(
            condition("vl-t5", "digit-questions", f"{pairing}-{divergence}")
            for divergence in DIVERGENCES
            for pairing in PAIRINGS
        ),
        quick=True,
    ),
    Table(
        "other methods",
        "Where do other published methods stand?",
        tuple(condition("vl-t5", "digit-questions", method) for method in OTHER_METHODS),
    ),
)

LATER_TABLES = tuple(
    _task_table(family, "easy-vqa") for family in dict.fromkeys(family for family, _ in TASKS)
)
"""Added to the protocol later; their cells come last in the plan."""
