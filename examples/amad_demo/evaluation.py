"""What is measured on a model: right answers, and how its attention compares with the teacher's."""

from dataclasses import dataclass

import torch

from amad_demo.attention import (
    LayerPair,
    amad_attention_loss,
    head_weights,
    one_to_one_attention_loss,
)
from amad_demo.batches import Batch
from amad_demo.model import VisualQuestionModel
from amad_demo.questions import KINDS


@dataclass(frozen=True)
class Measurement:
    """What one model scores on one set of questions.

    Attributes:
        accuracy: exact match, in [0, 1].
        digit_accuracy: the same, on questions whose answer is one digit.
        amad_loss: between teacher and student, batch mean, summed over layer pairs.
        one_to_one_loss: the same maps, head by head.
        weights: alignment weights `[Ht][Hs]`, mean over questions, by layer pair.
    """

    accuracy: float
    digit_accuracy: float
    amad_loss: float
    one_to_one_loss: float
    weights: dict[LayerPair, list[list[float]]]


@torch.no_grad()
def measure(student: VisualQuestionModel, teacher: VisualQuestionModel, data: Batch) -> Measurement:
    """Measure a student on questions; every student is measured in the same way."""
    output, target = student(data), teacher(data)
    right = (output.logits.argmax(dim=1) == data.answer).double()
    weights = head_weights(target, output, data.mask)
    return Measurement(
        accuracy=float(right.mean()),
        digit_accuracy=float(right[data.kind != KINDS.index("presence")].mean()),
        amad_loss=float(amad_attention_loss(target, output, data.mask)),
        one_to_one_loss=float(one_to_one_attention_loss(target, output, data.mask)),
        weights={pair: weight.tolist() for pair, weight in weights.items()},
    )


@torch.no_grad()
def exact_match(model: VisualQuestionModel, data: Batch) -> float:
    """Return the share of questions answered exactly right, in [0, 1]."""
    return float((model(data).logits.argmax(dim=1) == data.answer).double().mean())
