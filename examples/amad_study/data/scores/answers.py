"""Short answers: exact match, and the accuracy of VQA v2."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from amad_study.data.example import Example
from amad_study.data.scores.checks import check_same_number
from amad_study.data.scores.vqa_text import normal_prediction, without_punctuation

_ENOUGH = 3
"""An answer that three other people gave is wholly right."""


def exact_match(
    predictions: Sequence[str], references: Sequence[Sequence[str]]
) -> NDArray[np.float64]:
    """100 where a prediction is one of its references, but for blanks and case; else 0, `[N]`.

    Raises:
        ValueError: none, or not one prediction for each example.
    """
    check_same_number(predictions, references)
    pairs = zip(predictions, references, strict=True)
    return np.array([100.0 * (_plain(said) in map(_plain, right)) for said, right in pairs])


def vqa_accuracy(
    predictions: Sequence[str], answers: Sequence[Sequence[str]]
) -> NDArray[np.float64]:
    """The accuracy of VQA v2: how many of the people asked agree, `[N]`.

    Of every choice of all people but one, `min(how many said the same / 3, 1)`, averaged. Texts are
    brought to one form as the official evaluation does it: predictions wholly, people's answers by
    their punctuation, unless all agree (https://visualqa.org/evaluation.html, and `vqaEval.py` of
    the repository GT-Vision-Lab/VQA).

    Args:
        predictions: what the model said, `N` texts.
        answers: what people said to each question: ten texts in VQA v2.

    Raises:
        ValueError: none, or not one prediction for each example; a question nobody answered.
    """
    check_same_number(predictions, answers)
    if not all(answers):
        raise ValueError(
            f"answers[{[bool(given) for given in answers].index(False)}] is empty; expected what "
            "people answered, ten texts in VQA v2"
        )
    return np.array([_agreement(*pair) for pair in zip(predictions, answers, strict=True)])


def _agreement(prediction: str, answers: Sequence[str]) -> float:
    if len(set(answers)) > 1:
        answers = [without_punctuation(answer) for answer in answers]
    same = Counter(answers)[normal_prediction(prediction)]
    # Those who said the same are left out once each: then one fewer agrees.
    agreed = same * min((same - 1) / _ENOUGH, 1) + (len(answers) - same) * min(same / _ENOUGH, 1)
    return 100.0 * agreed / len(answers)


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def score_answers(examples: Sequence[Example], predictions: Sequence[str]) -> dict[str, float]:
    """Exact match: of all, by kind, and by the steps that the answer takes."""
    right = exact_match(predictions, [example.references for example in examples])
    return _by_kind(examples, right)


def score_vqa(examples: Sequence[Example], predictions: Sequence[str]) -> dict[str, float]:
    """The accuracy of VQA v2: of all, and by kind."""
    right = vqa_accuracy(predictions, [example.references for example in examples])
    return _by_kind(examples, right)


def _by_kind(examples: Sequence[Example], values: NDArray[np.float64]) -> dict[str, float]:
    scores = {"accuracy": float(values.mean())}
    for kind in sorted({example.kind for example in examples} - {""}):
        rows = [example.kind == kind for example in examples]
        scores[f"accuracy: {kind}"] = float(values[rows].mean())
    for steps in sorted({example.steps for example in examples} - {0}):
        rows = [example.steps == steps for example in examples]
        scores[f"accuracy: {steps} step{'s' * (steps > 1)}"] = float(values[rows].mean())
    return scores
