"""The gate before any student: the teacher is good, and because it sees the right picture."""

from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from amad_study.data.chance import text_only_answers, text_only_translations
from amad_study.models.workbench import Workbench

_MARGIN = 20.0
"""Points by which right pictures must beat wrong ones, and blind answers."""

_NEAR_BLIND = 15.0
"""Points by which a teacher that sees wrong pictures may beat blind answers."""


@dataclass(frozen=True)
class Gate:
    """What the gate measured, in percent of the task's main score.

    Attributes:
        score: on unseen examples.
        with_other_pictures: on the same, each with the picture of the next.
        blind: of the best answers that know the text alone.
        examples: how many.
    """

    score: float
    with_other_pictures: float
    blind: float
    examples: int

    @property
    def passed(self) -> bool:
        """Whether the right picture is what makes the teacher good."""
        return (
            self.score >= self.with_other_pictures + _MARGIN
            and self.score >= self.blind + _MARGIN
            and self.with_other_pictures <= self.blind + _NEAR_BLIND
        )

    def as_json(self) -> dict[str, Any]:
        """The numbers and the verdict."""
        return {**asdict(self), "passed": self.passed}

    def __str__(self) -> str:
        return (
            f"{self.score:.1f} with the right pictures, {self.with_other_pictures:.1f} with "
            f"others, {self.blind:.1f} without any, on {self.examples} unseen examples: "
            + ("passed" if self.passed else "NOT passed")
        )


class GateError(Exception):
    """A teacher that does not use the picture, or not well enough, must not teach."""


def run_gate(bench: Workbench, teacher: nn.Module, examples: int = 500) -> Gate:
    """Ask the teacher about unseen examples, with their own pictures and with others'.

    Validation examples: the test is for students alone.
    """
    split, task = bench.task.validation, bench.task
    asked = split.examples[:examples]
    guess = text_only_translations if asked[0].ambiguities else text_only_answers
    blind = task.score(asked, guess(task.train.examples, asked))
    return Gate(
        score=bench.scores(teacher, split, examples)[task.main_score],
        with_other_pictures=bench.scores_with_other_pictures(teacher, split, examples)[
            task.main_score
        ],
        blind=blind[task.main_score],
        examples=len(asked),
    )
