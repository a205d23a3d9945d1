"""The gate before any distillation: does the teacher really use the image?"""

from dataclasses import dataclass

import torch

from amad_demo.batches import draw_questions
from amad_demo.evaluation import exact_match
from amad_demo.model import VisualQuestionModel
from amad_demo.questions import KINDS

LEAST_ACCURACY = 0.90
MOST_SHUFFLED_ACCURACY = 0.15
_SEED = 90210


@dataclass(frozen=True)
class GateReport:
    """What the gate measured, on questions about unseen digits whose answer is one digit.

    Attributes:
        accuracy: exact match, in [0, 1].
        shuffled_accuracy: exact match when every question is shown another scene.
        questions: how many questions were asked.
    """

    accuracy: float
    shuffled_accuracy: float
    questions: int

    @property
    def passed(self) -> bool:
        """Whether the teacher answers well, and only because it sees the right image."""
        return passes(self.accuracy, self.shuffled_accuracy)

    def __str__(self) -> str:
        return (
            f"{self.accuracy:.1%} exact match on {self.questions} digit questions "
            f"(needs over {LEAST_ACCURACY:.0%}), {self.shuffled_accuracy:.1%} with the images "
            f"shuffled (needs under {MOST_SHUFFLED_ACCURACY:.0%}): "
            + ("passed" if self.passed else "NOT passed")
        )


def passes(accuracy: float, shuffled_accuracy: float) -> bool:
    """Decide the gate from its two measurements."""
    return accuracy > LEAST_ACCURACY and shuffled_accuracy < MOST_SHUFFLED_ACCURACY


def run_gate(teacher: VisualQuestionModel, count: int = 2000) -> GateReport:
    """Ask the teacher `count` questions about test digits, with the right and the wrong images."""
    data = draw_questions("test", count, _SEED)
    data = data[data.kind != KINDS.index("presence")]
    # A rotation by one is a shuffle in which no question keeps its own image.
    wrong_images = torch.arange(len(data)).roll(1)
    return GateReport(
        accuracy=exact_match(teacher, data),
        shuffled_accuracy=exact_match(teacher, data.with_images_of(wrong_images)),
        questions=len(data),
    )
