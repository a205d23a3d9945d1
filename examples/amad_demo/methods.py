"""The three ways in which the demo trains the same student: one distiller each."""

from dataclasses import dataclass

from amad_demo.model import VisualQuestionModel
from amad_torch import AttentionMatch, Distiller

TEMPERATURE = 0.1
"""The softmax temperature of the alignment weights (1 in the paper); docs/demo.md tells why."""

ENCODER_LAYERS = [(0, 0), (2, 1)]
"""Teacher layer and the student layer that learns from it; in the decoder there is one each."""

LAYER_NAMES = (
    "encoder self-attention, teacher layer 1 to student layer 1",
    "encoder self-attention, teacher layer 3 to student layer 2",
    "cross-attention, teacher layer 1 to student layer 1",
)


@dataclass(frozen=True)
class Method:
    """One way to train the student.

    Attributes:
        title: what tables and pictures call it.
        name: of the attention loss.
        attention_weight: how much it counts beside the task's own loss.
    """

    title: str
    name: str
    attention_weight: float


METHODS = {
    "ground-truth": Method("Ground truth", "amad_mse", 0.0),
    "one-to-one": Method("One-to-one", "one_to_one_mse", 160.0),
    "amad": Method("AMAD", "amad_mse", 1.0),
}


def make_distiller(
    method: Method, *, teacher: VisualQuestionModel, student: VisualQuestionModel
) -> Distiller:
    """Attention and ground truth; the teacher's answers are not used."""
    return Distiller(
        teacher=teacher,
        student=student,
        method=method.name,
        temperature=TEMPERATURE,
        matches=[
            AttentionMatch(teacher="t5.encoder", student="t5.encoder", layers=ENCODER_LAYERS),
            AttentionMatch(kind="cross"),
        ],
        attention_weight=method.attention_weight,
        output_weight=0.0,
    )
