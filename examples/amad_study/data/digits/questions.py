"""Questions about a scene that take one, two or three steps, each with its one-word answer.

A step is an operation on the scene: find a digit or a place, go to a neighbour, judge what stands
there.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from amad_study.data.digits.drawing import pick
from amad_study.data.digits.relations import (
    ALL_CELLS,
    DIRECTIONS,
    OPPOSITE,
    Board,
    board_of,
    neighbours,
    place_name,
)
from amad_study.data.digits.scenes import Scene
from amad_study.data.digits.words import DIGITS
from amad_study.data.words import known_words

STEPS = {
    "place": 1,
    "presence": 1,
    "neighbour": 2,
    "parity": 2,
    "neighbour of a neighbour": 3,
    "parity of a neighbour": 3,
}
"""The kinds of question, and how many steps each takes."""

YES_NO = ("presence", "parity", "parity of a neighbour")
"""The kinds that are answered by yes or no; the others are answered by a digit."""

_PARITIES = ("even", "odd")


@dataclass(frozen=True)
class Question:
    """A question in words and its answer.

    Attributes:
        kind: one of `STEPS`.
        text: the words, separated by blanks.
        answer: one word.
    """

    kind: str
    text: str
    answer: str


def ask(scene: Scene, kind: str, random: np.random.Generator) -> Question | None:
    """Draw a question of a kind, or none where the scene has none such.

    None comes at times where there is one, too, so that over many scenes the words of a question
    tell nothing about its answer: `parity of a neighbour` says why.

    Raises:
        ValueError: unknown kind.
    """
    if kind not in _ASKERS:
        raise ValueError(f"kind is {kind!r}, expected one of {sorted(STEPS)}")
    found = _ASKERS[kind](board_of(scene), random)
    return found and Question(kind, *found)


_Asked = tuple[str, str] | None
"""The words and the answer."""


def _ask_place(board: Board, random: np.random.Generator) -> _Asked:
    cell = pick(list(board), random)
    return f"which digit is {place_name(cell)} ?", str(board[cell])


def _ask_presence(board: Board, random: np.random.Generator) -> _Asked:
    shown = bool(random.integers(2))
    digit = pick([digit for digit in range(10) if (digit in board.values()) == shown], random)
    return f"is there any {digit} ?", _yes_no(shown)


def _ask_neighbour(board: Board, random: np.random.Generator) -> _Asked:
    if not (found := neighbours(board)):
        return None
    there, direction, here = pick(found, random)
    return f"which digit is {direction} the {board[here]} ?", str(board[there])


def _ask_parity(board: Board, random: np.random.Generator) -> _Asked:
    cell, parity = pick(list(board), random), pick(_PARITIES, random)
    return f"is the digit {place_name(cell)} {parity} ?", _yes_no(_is(parity, board[cell]))


def _ask_second_neighbour(board: Board, random: np.random.Generator) -> _Asked:
    steps = neighbours(board)
    found = [
        (second, first)
        for first in steps
        for second in steps
        if second[2] == first[0] and second[1] != OPPOSITE[first[1]]  # not back to where it began
    ]
    if not found:
        return None
    (there, onward, _), (_, direction, here) = pick(found, random)
    text = f"which digit is {onward} the digit {direction} the {board[here]} ?"
    return text, str(board[there])


def _ask_neighbour_parity(board: Board, random: np.random.Generator) -> _Asked:
    """Four of the other digits have the named one's parity, and five have not.

    "Is the digit under the 3 even ?" would be answered by yes five times in nine. One in five of
    the more frequent sort is dropped, and both answers are even.
    """
    if not (found := neighbours(board)):
        return None
    there, direction, here = pick(found, random)
    differ = (board[there] - board[here]) % 2 == 1
    if differ and random.random() >= 4 / 5:
        return None
    parity = pick(_PARITIES, random)
    text = f"is the digit {direction} the {board[here]} {parity} ?"
    return text, _yes_no(_is(parity, board[there]))


def _is(parity: str, digit: int) -> bool:
    return digit % 2 == _PARITIES.index(parity)


def _yes_no(yes: bool) -> str:
    return "yes" if yes else "no"


_ASKERS: dict[str, Callable[[Board, np.random.Generator], _Asked]] = {
    "place": _ask_place,
    "presence": _ask_presence,
    "neighbour": _ask_neighbour,
    "parity": _ask_parity,
    "neighbour of a neighbour": _ask_second_neighbour,
    "parity of a neighbour": _ask_neighbour_parity,
}

WORDS = known_words(
    (
        *DIGITS,
        *map(place_name, ALL_CELLS),
        *DIRECTIONS,
        *_PARITIES,
        "which digit is the ?",
        "is there any ?",
        "yes no",
    )
)
"""Every word of the questions and answers."""
