"""Sentences about a scene in two languages; some words of the second only the scene decides.

The first is a little English. The second is invented: what stands where comes first, and the verb
last. It has no word for "beside" and none for "facing": one has to say on which side. Nor has it
one for "the one": a digit that is not named is called by one of five nouns, each for two digits.

    the 3 is beside the 7 .                     sep lasi tri es .
    the one left of the 5 is above the 2 .      duo supa pen lasi kelo es .
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

from amad_study.data.digits.drawing import pick
from amad_study.data.digits.relations import DIRECTIONS, Board, board_of, neighbours
from amad_study.data.digits.scenes import Scene
from amad_study.data.digits.words import DIGITS
from amad_study.data.example import Ambiguity
from amad_study.data.words import known_words

KINDS = ("side", "noun", "side and noun")
"""What of a sentence only the scene decides."""

NAMES = ("nul", "eko", "duo", "tri", "kar", "pen", "sis", "sep", "ok", "nen")
POSTPOSITIONS = {"left of": "lasi", "right of": "resu", "above": "supa", "under": "malo"}
NOUNS = ("bira", "tomu", "kelo", "vani", "guso")
"""The noun of a digit is `NOUNS[digit % 5]`: each has two."""

_SIDES = {"left of": "beside", "right of": "beside", "above": "facing", "under": "facing"}
_IS, _AND = "es", "ke"


@dataclass(frozen=True)
class Sentence:
    """A true sentence about a scene, in both languages.

    Attributes:
        kind: one of `KINDS`.
        source: in the first language.
        target: in the second.
        ambiguities: the words of `target` that `source` leaves open.
    """

    kind: str
    source: str
    target: str
    ambiguities: tuple[Ambiguity, ...]


@dataclass(frozen=True)
class SideClause:
    """ "The `subject` is beside the `landmark`": it stands in that `direction` from there."""

    subject: int
    landmark: int
    direction: str

    @property
    def named(self) -> tuple[int, ...]:
        """The digits that the source names."""
        return self.subject, self.landmark

    def source(self) -> str:
        """The clause in the first language."""
        return f"the {self.subject} is {_SIDES[self.direction]} the {self.landmark}"

    def target(self) -> list[str]:
        """The clause in the second language."""
        return [
            NAMES[self.landmark], POSTPOSITIONS[self.direction], NAMES[self.subject], _IS
        ]  # fmt: skip

    def ambiguity(self) -> Ambiguity:
        """The postposition."""
        side = _SIDES[self.direction]
        return Ambiguity(1, tuple(POSTPOSITIONS[one] for one in DIRECTIONS if _SIDES[one] == side))


@dataclass(frozen=True)
class NounClause:
    """ "The one `side` the `anchor` is `direction` the `landmark`": it is `hidden`, not named."""

    hidden: int
    side: str
    anchor: int
    direction: str
    landmark: int

    @property
    def named(self) -> tuple[int, ...]:
        """The digits that the source names."""
        return self.anchor, self.landmark

    def source(self) -> str:
        """The clause in the first language."""
        return f"the one {self.side} the {self.anchor} is {self.direction} the {self.landmark}"

    def target(self) -> list[str]:
        """The clause in the second language."""
        place = [NAMES[self.landmark], POSTPOSITIONS[self.direction]]
        return [*place, NAMES[self.anchor], POSTPOSITIONS[self.side], noun(self.hidden), _IS]

    def ambiguity(self) -> Ambiguity:
        """The noun."""
        return Ambiguity(4, NOUNS)


def noun(digit: int) -> str:
    """What a digit is called that is not named."""
    return NOUNS[digit % len(NOUNS)]


def side_clauses(board: Board) -> list[SideClause]:
    """All that a scene allows."""
    return [
        SideClause(board[there], board[here], direction)
        for there, direction, here in neighbours(board)
    ]


def noun_clauses(board: Board) -> list[NounClause]:
    """All that a scene allows."""
    return [
        NounClause(board[there], side, board[anchor], direction, board[landmark])
        for (there, side, anchor), (again, direction, landmark) in product(
            neighbours(board), repeat=2
        )
        if there == again and anchor != landmark
    ]


def compose_sentence(scene: Scene, kind: str, random: np.random.Generator) -> Sentence | None:
    """Draw a sentence, or none where the scene has none of that kind.

    No digit is named twice, and the one that is not named in one clause is not named in the other.
    Swapping the two digits of a side clause, or two that are not named at all, then gives a scene
    that is as likely, with the same source: so the source tells nothing of the side, and every
    digit that it does not name is as likely as another. `_fair` makes that so for nouns.

    Raises:
        ValueError: unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}, expected one of {KINDS}")
    board = board_of(scene)
    possible = _combinations(board, kind)
    if not possible:
        return None
    clauses = pick(possible, random)
    if not _fair(clauses, random):
        return None
    order = random.permutation(len(clauses))
    return _join(kind, [clauses[index] for index in order])


_Clause = SideClause | NounClause


def _combinations(board: Board, kind: str) -> list[tuple[_Clause, ...]]:
    if kind == "side":
        return [(clause,) for clause in side_clauses(board)]
    if kind == "noun":
        return [(clause,) for clause in noun_clauses(board)]
    return [
        (side, noun)
        for side, noun in product(side_clauses(board), noun_clauses(board))
        if not {*side.named} & {*noun.named, noun.hidden}
    ]


def _fair(clauses: tuple[_Clause, ...], random: np.random.Generator) -> bool:
    """Whether to keep a draw, so that the five nouns are equally likely, whatever is named.

    A noun one of whose digits is named has one digit left, the others have two: they are kept half
    as often. Where both are named, the noun could be ruled out: never kept.
    """
    named = {digit for clause in clauses for digit in clause.named}
    left = dict.fromkeys(NOUNS, 0)
    for digit in set(range(10)) - named:
        left[noun(digit)] += 1
    hidden = [clause.hidden for clause in clauses if isinstance(clause, NounClause)]
    if not hidden:
        return True
    return min(left.values()) > 0 and random.random() < 1 / left[noun(hidden[0])]


def _join(kind: str, clauses: list[_Clause]) -> Sentence:
    target: list[str] = []
    ambiguities = []
    for clause in clauses:
        if target:
            target.append(_AND)
        open_word = clause.ambiguity()
        ambiguities.append(Ambiguity(len(target) + open_word.place, open_word.choices))
        target += clause.target()
    source = " and ".join(clause.source() for clause in clauses)
    return Sentence(kind, f"{source} .", " ".join([*target, "."]), tuple(ambiguities))


WORDS = known_words(
    (
        *DIGITS, *DIRECTIONS, *_SIDES.values(), "the one is and .",
        *NAMES, *POSTPOSITIONS.values(), *NOUNS, _IS, _AND,
    )
)  # fmt: skip
"""Every word of both languages."""
