"""A hypothesis: a sentence, the comparisons that count for it, and how they are judged."""

from dataclasses import dataclass
from enum import Enum

from amad_study.protocol.condition import SEEDS
from amad_study.runs.cell import Cell


class Judged(Enum):
    """How a hypothesis is judged from its comparisons."""

    EACH = "each comparison: paired differences over seeds"
    CONTRAST = "the last comparison's paired differences minus those of the first"
    SPREAD = "each comparison: the ratio of standard deviations over seeds, by Levene's test"
    CORRELATION = (
        "all comparisons together: the correlation of a teacher's mean difference, over its seeds, "
        "with how alike its heads are (the mean of `teacher` over pairs of layers in a record's "
        "`heads`)"
    )


@dataclass(frozen=True)
class Comparison:
    """One condition minus another, seed by seed.

    Attributes:
        label: what tells it from the others of its hypothesis.
        first, second: conditions; a positive difference is `first` ahead.
        score: see `score_of`.
        seeds: that count.
    """

    label: str
    first: Cell
    second: Cell
    score: str = "main"
    seeds: tuple[int, ...] = SEEDS


@dataclass(frozen=True)
class Hypothesis:
    """What is held to be true before anything was run.

    Attributes:
        name: `"H1"`.
        sentence: what it says.
        comparisons: that count for it.
        judged: how.
        expected: the sign of the difference if it is true: 1 or -1.
        one_suffices: whether it says that there is such a comparison; else that all are such.
        quick: whether the quick study has it.
    """

    name: str
    sentence: str
    comparisons: tuple[Comparison, ...]
    judged: Judged = Judged.EACH
    expected: int = 1
    one_suffices: bool = False
    quick: bool = False

    @property
    def conditions(self) -> tuple[Cell, ...]:
        """Every condition that its comparisons need, each once."""
        return tuple(
            dict.fromkeys(
                condition for one in self.comparisons for condition in (one.first, one.second)
            )
        )
