"""How right a caption is, fact by fact."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from amad_study.data.example import Fact
from amad_study.data.scores.checks import check_same_number


@dataclass(frozen=True)
class FactScores:
    """Percentages over all statements of all captions.

    Attributes:
        precision: of the statements made, those that are true.
        recall: of the facts that the references state, those that were stated.
        f1: their harmonic mean, 0 where both are.
        complete: captions that state what the reference does, all of it and nothing else.
    """

    precision: float
    recall: float
    f1: float
    complete: float


def fact_scores(
    stated: Sequence[Sequence[Fact | None]],
    expected: Sequence[AbstractSet[Fact]],
    true: Sequence[AbstractSet[Fact]],
) -> FactScores:
    """Score captions that a parser has read.

    Args:
        stated: the facts that each caption states, in its order; `None` for a sentence that says
            nothing the grammar knows, which counts as a false one. So does a fact said twice.
        expected: the facts that the reference states.
        true: all that is true of the picture, `expected` among it: to state something else that is
            true costs no precision.

    Raises:
        ValueError: none, or not as many of each; an example that expects nothing.
    """
    check_same_number(stated, expected)
    check_same_number(true, expected)
    if not all(expected):
        raise ValueError("expected holds an example without facts: recall is not defined there")
    statements = sum(map(len, stated))
    told = [set(facts) - {None} for facts in stated]
    correct = sum(len(said & facts) for said, facts in zip(told, true, strict=True))
    found = sum(len(said & facts) for said, facts in zip(told, expected, strict=True))
    precision = 100.0 * correct / statements if statements else 0.0
    recall = 100.0 * found / sum(map(len, expected))
    both = precision + recall
    complete = [
        len(facts) == len(right) and set(facts) == right
        for facts, right in zip(stated, expected, strict=True)
    ]
    return FactScores(
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / both if both else 0.0,
        complete=100.0 * sum(complete) / len(complete),
    )
