"""What a task is: splits of examples about pictures, and a score."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from amad_study.data.picture import Picture

Fact = tuple[str, ...]
"""A relation and what it holds between: `("left of", "3", "7")`."""


@dataclass(frozen=True)
class Ambiguity:
    """A word of the target that the source leaves open.

    Attributes:
        place: which word of the target, 0 the first.
        choices: the words that the source allows there, the right one among them.
    """

    place: int
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Example:
    """What a model is shown and what it is to say.

    Attributes:
        picture: the picture's name in its split.
        source: the text in.
        target: the text out: what a model is trained to say.
        references: every text that scores, `target` alone where there is one right answer.
        kind: what sort of example it is, for scores by kind; may be empty.
        steps: how many operations on the picture the answer takes; 0 where nobody counted.
        facts: all that is true of the picture and can be said; captions of scenes only.
        ambiguities: the words of `target` that only the picture tells; translations of scenes only.
    """

    picture: str
    source: str
    target: str
    references: tuple[str, ...]
    kind: str = ""
    steps: int = 0
    facts: frozenset[Fact] = frozenset()
    ambiguities: tuple[Ambiguity, ...] = ()


@dataclass(frozen=True, eq=False)
class Split:
    """Examples, and the pictures they are about, by name: held, or read when asked for."""

    examples: tuple[Example, ...]
    pictures: Mapping[str, Picture]

    def __len__(self) -> int:
        return len(self.examples)

    def picture(self, example: Example) -> Picture:
        """The picture of one of the examples."""
        return self.pictures[example.picture]


ScoreFunction = Callable[[Sequence[Example], Sequence[str]], dict[str, float]]
"""Examples and what a model said to each, in the same order; scores by name, in percent."""


@dataclass(frozen=True, eq=False)
class Task:
    """A task of the study.

    Attributes:
        name: its name in `TASKS`.
        train, validation, test: no picture is in two of them.
        words: every word that the grammar knows, or that the training texts hold, sorted.
        score: the scores of what a model said, in percent.
        main_score: the name of the score that counts.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    words: tuple[str, ...]
    score: ScoreFunction
    main_score: str
