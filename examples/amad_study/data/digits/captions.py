"""Captions of a scene, and the parser that reads their facts back.

A caption is a sentence for the number of digits, then one for each digit in reading order: next to
its left neighbour if it has one, else under its upper neighbour, else by its place.

    four digits . 7 is top left . 3 is right of 7 . 5 is under 7 . 0 is bottom right .
"""

import re
from collections.abc import Sequence

from amad_study.data.digits.relations import (
    ALL_CELLS,
    DIRECTIONS,
    Board,
    Cell,
    board_of,
    neighbour,
    neighbours,
    place_name,
)
from amad_study.data.digits.scenes import FEWEST_DIGITS, MOST_DIGITS, Scene
from amad_study.data.digits.words import DIGITS
from amad_study.data.example import Example, Fact
from amad_study.data.scores.bleu import bleu
from amad_study.data.scores.facts import fact_scores
from amad_study.data.words import known_words

PROMPT = "describe the scene"
"""The text in, the same for every scene."""

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
COUNTS = _NUMBERS[FEWEST_DIGITS : MOST_DIGITS + 1]
_PLACES = tuple(map(place_name, ALL_CELLS))


def describe(scene: Scene) -> str:
    """The caption of a scene."""
    board = board_of(scene)
    facts = [_count(board), *(_introduction(board, cell) for cell in sorted(board))]
    return " ".join(map(say, facts))


def _count(board: Board) -> Fact:
    return "count", _NUMBERS[len(board)]


def _introduction(board: Board, cell: Cell) -> Fact:
    digit = str(board[cell])
    for direction, back in (("right of", "left of"), ("under", "above")):
        if (other := neighbour(board, cell, back)) is not None:
            return direction, digit, str(board[other])
    return "place", digit, place_name(cell)


def true_facts(scene: Scene) -> frozenset[Fact]:
    """All that is true of a scene and can be said: its number, every place, every neighbour."""
    board = board_of(scene)
    places = [("place", str(digit), place_name(cell)) for cell, digit in board.items()]
    relations = [
        (direction, str(board[there]), str(board[here]))
        for there, direction, here in neighbours(board)
    ]
    return frozenset([_count(board), *places, *relations])


def say(fact: Fact) -> str:
    """A fact as a sentence."""
    relation, *arguments = fact
    if relation == "count":
        return f"{arguments[0]} digits ."
    if relation == "place":
        return f"{arguments[0]} is {arguments[1]} ."
    return f"{arguments[0]} is {relation} {arguments[1]} ."


def _one_of(words: Sequence[str]) -> str:
    return "|".join(map(re.escape, words))


_SENTENCE = re.compile(
    rf"(?P<count>{_one_of(COUNTS)}) digits"
    rf"|(?P<placed>\d) is (?P<place>{_one_of(_PLACES)})"
    rf"|(?P<there>\d) is (?P<direction>{_one_of(tuple(DIRECTIONS))}) (?P<here>\d)"
)


def read_caption(caption: str) -> list[Fact | None]:
    """The fact that each sentence states; `None` for one that is not in the grammar.

    >>> read_caption("four digits . 7 is top left . 3 is 3 is .")
    [('count', 'four'), ('place', '7', 'top left'), None]
    """
    sentences = (" ".join(sentence.split()) for sentence in caption.split("."))
    return [_read(sentence) for sentence in sentences if sentence]


def _read(sentence: str) -> Fact | None:
    match = _SENTENCE.fullmatch(sentence)
    if match is None:
        return None
    if match["count"]:
        return "count", match["count"]
    if match["place"]:
        return "place", match["placed"], match["place"]
    return match["direction"], match["there"], match["here"]


def score_captions(examples: Sequence[Example], predictions: Sequence[str]) -> dict[str, float]:
    """BLEU, and precision, recall and F1 of the facts."""
    expected = [
        {fact for fact in read_caption(example.target) if fact is not None} for example in examples
    ]
    scores = fact_scores(
        stated=list(map(read_caption, predictions)),
        expected=expected,
        true=[example.facts for example in examples],
    )
    return {
        "BLEU": bleu(predictions, [example.references for example in examples]),
        "fact F1": scores.f1,
        "fact precision": scores.precision,
        "fact recall": scores.recall,
        "complete captions": scores.complete,
    }


WORDS = known_words((PROMPT, *DIGITS, *COUNTS, *_PLACES, *DIRECTIONS, "digits is ."))
"""Every word of the prompt and the captions."""
