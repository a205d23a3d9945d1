"""What is measured on a model: right answers, and how its attention compares with the teacher's."""

from dataclasses import dataclass

import torch

from amad_demo.batches import Batch
from amad_demo.methods import LAYER_NAMES, METHODS, make_distiller
from amad_demo.model import VisualQuestionModel
from amad_demo.questions import KINDS
from amad_torch import measure_alignment


@dataclass(frozen=True)
class Measurement:
    """What one model scores on one set of questions.

    Attributes:
        accuracy: exact match, in [0, 1].
        digit_accuracy: the same, on questions whose answer is one digit.
        amad_loss: between teacher and student, batch mean, summed over layers.
        one_to_one_loss: the same maps, head by head.
        weights: alignment weights `[Ht][Hs]`, mean over questions, by layer.
    """

    accuracy: float
    digit_accuracy: float
    amad_loss: float
    one_to_one_loss: float
    weights: dict[str, list[list[float]]]


@torch.no_grad()
def measure(student: VisualQuestionModel, teacher: VisualQuestionModel, data: Batch) -> Measurement:
    """Measure a student on questions; every student is measured in the same way."""
    amad, one_to_one = (
        make_distiller(METHODS[name], teacher=teacher, student=student)
        for name in ("amad", "one-to-one")
    )
    out = amad(**data.inputs)
    right = (out["logits"].argmax(dim=1) == data.answer).double()
    weights = measure_alignment(amad, [data.inputs])
    return Measurement(
        accuracy=float(right.mean()),
        digit_accuracy=float(right[data.kind != KINDS.index("presence")].mean()),
        amad_loss=float(out["attention"]),
        one_to_one_loss=float(one_to_one(**data.inputs)["attention"]),
        weights=dict(zip(LAYER_NAMES, weights.values(), strict=True)),
    )


@torch.no_grad()
def exact_match(model: VisualQuestionModel, data: Batch) -> float:
    """Return the share of questions answered exactly right, in [0, 1]."""
    answers = model(**data.inputs)["logits"].argmax(dim=1)
    return float((answers == data.answer).double().mean())
