"""The three ways in which the demo trains the same student."""

from dataclasses import dataclass

from amad_demo.attention import AttentionLoss, amad_attention_loss, one_to_one_attention_loss


@dataclass(frozen=True)
class Method:
    """One way to train the student.

    Attributes:
        title: what tables and pictures call it.
        attention_loss: is added to the task's own loss; None for none.
        attention_weight: what it is multiplied by.
    """

    title: str
    attention_loss: AttentionLoss | None = None
    attention_weight: float = 0.0


METHODS = {
    "ground-truth": Method("Ground truth"),
    "one-to-one": Method("One-to-one", one_to_one_attention_loss, 1.0),
    "amad": Method("AMAD", amad_attention_loss, 1.0),
}
