"""Scores of captions and translations as texts: BLEU, and the words that only the picture tells."""

from collections.abc import Sequence

from amad_study.data.example import Example
from amad_study.data.scores.bleu import bleu
from amad_study.data.scores.checks import check_same_number


def ambiguous_word_accuracy(predictions: Sequence[str], examples: Sequence[Example]) -> float:
    """Of the words that the source leaves open, how many are right, in percent.

    A word is right if it stands at its place in the sentence: one that is lost or added before it
    makes it wrong.

    Raises:
        ValueError: none, or not one prediction for each example; no example leaves a word open.
    """
    check_same_number(predictions, examples)
    right = [
        _word(said, ambiguity.place) == _word(example.target, ambiguity.place)
        for said, example in zip(predictions, examples, strict=True)
        for ambiguity in example.ambiguities
    ]
    if not right:
        raise ValueError("examples holds none with a word that its source leaves open")
    return 100.0 * sum(right) / len(right)


def _word(text: str, place: int) -> str | None:
    words = text.split()
    return words[place] if place < len(words) else None


def score_texts(examples: Sequence[Example], predictions: Sequence[str]) -> dict[str, float]:
    """BLEU against all references."""
    return {"BLEU": bleu(predictions, [example.references for example in examples])}
