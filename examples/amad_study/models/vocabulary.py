"""Words as numbers: what the models read and say, one number a word."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from amad_study.data.words import split_words

PAD, START, END, UNKNOWN, MASK = range(5)
"""Fills up; begins and ends what is said; a word never seen in training; a word taken out."""

YES, NO = "<yes>", "<no>"
"""What is said of a text and a picture in pre-training: whether they belong together."""

_SPECIAL = ("<pad>", "<start>", "<end>", "<unknown>", "<mask>", YES, NO)


@dataclass(frozen=True)
class Vocabulary:
    """Every word that a model knows, the special ones first."""

    words: tuple[str, ...]

    @classmethod
    def of(cls, *word_lists: Iterable[str]) -> "Vocabulary":
        """The words of some lists once, sorted."""
        return cls((*_SPECIAL, *sorted({word for words in word_lists for word in words})))

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words)}

    def encode(self, text: str) -> list[int]:
        """The numbers of a text's words; special ones are found where they stand by themselves."""
        pieces = text.split()
        words = [
            word
            for piece in pieces
            for word in ([piece] if piece in _SPECIAL else split_words(piece))
        ]
        return [self._numbers.get(word, UNKNOWN) for word in words]

    def decode(self, numbers: Sequence[int]) -> str:
        """What is said up to the first `END`, without padding and start."""
        words = []
        for number in numbers:
            if number == END:
                break
            if number not in (PAD, START):
                words.append(self.words[number])
        return " ".join(words)
