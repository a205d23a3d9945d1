"""Questions about a scene, each with its one-word answer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from amad_demo.scenes import Scene
from amad_demo.vocabulary import COLUMNS, ROWS

Kind = Literal["position", "line", "presence"]
KINDS: tuple[Kind, ...] = ("position", "line", "presence")


@dataclass(frozen=True)
class Question:
    """A question in words and its answer.

    Attributes:
        kind: "position" or "line" (both answered by a digit) or "presence" (yes or no).
        text: the words, separated by blanks.
        answer: one word.
    """

    kind: Kind
    text: str
    answer: str


def ask(scene: Scene, random: np.random.Generator) -> Question:
    """Draw a question: half are about a position, a quarter each about a line and presence.

    A scene that has no digit alone in its line gets a position question instead.
    """
    asker = _ASKERS[int(random.integers(len(_ASKERS)))]
    return asker(scene, random)


def _ask_position(scene: Scene, random: np.random.Generator) -> Question:
    index = int(random.integers(len(scene.cells)))
    row, column = scene.cells[index]
    text = f"which digit is {ROWS[row]} {COLUMNS[column]} ?"
    return Question("position", text, str(scene.labels[index]))


def _ask_line(scene: Scene, random: np.random.Generator) -> Question:
    lines = [(0, row, f"{name} row") for row, name in enumerate(ROWS)]
    lines += [(1, column, f"{name} column") for column, name in enumerate(COLUMNS)]
    possible = [
        (name, digits[0])
        for axis, place, name in lines
        if len(digits := scene.digits_in_line(axis, place)) == 1
    ]
    if not possible:
        return _ask_position(scene, random)
    name, answer = possible[int(random.integers(len(possible)))]
    return Question("line", f"which digit is alone in the {name} ?", str(answer))


def _ask_presence(scene: Scene, random: np.random.Generator) -> Question:
    shown = bool(random.integers(2))
    choices = scene.labels if shown else tuple(set(range(10)) - set(scene.labels))
    digit = choices[int(random.integers(len(choices)))]
    return Question("presence", f"is there any {digit} ?", "yes" if shown else "no")


_ASKERS: tuple[Callable[[Scene, np.random.Generator], Question], ...] = (
    _ask_position,
    _ask_position,
    _ask_line,
    _ask_presence,
)
