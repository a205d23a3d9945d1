"""The demo's models and questions as functions that a file of `amad distill` can name."""

from typing import Any

from amad_demo.batches import draw_questions
from amad_demo.experiment import new_student
from amad_demo.model import VisualQuestionModel
from amad_demo.teacher import load_teacher


def teacher() -> VisualQuestionModel:
    """The teacher that is shipped."""
    return load_teacher()[0]


def student(seed: int = 0) -> VisualQuestionModel:
    """An untrained student."""
    return new_student(seed, teacher())


def questions(train: int, validation: int, seed: int = 0) -> dict[str, list[dict[str, Any]]]:
    """Rows by split, of digits that no other split has."""
    drawn = {
        "train": draw_questions("train", train, seed).inputs,
        "validation": draw_questions("validation", validation, seed).inputs,
    }
    return {
        split: [
            dict(zip(inputs, values, strict=True)) for values in zip(*inputs.values(), strict=True)
        ]
        for split, inputs in drawn.items()
    }
