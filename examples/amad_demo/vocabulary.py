"""The words of the demo's questions and answers: a word-level vocabulary, made here.

No tokenizer is downloaded; the list below is all there is.
"""

PAD = 0
"""Fills short questions; T5 also starts its decoder with it."""

DIGITS = tuple("0123456789")
ROWS = ("top", "middle", "bottom")
COLUMNS = ("left", "centre", "right")

WORDS = (
    "<pad>",
    *DIGITS,
    "yes",
    "no",
    *ROWS,
    *COLUMNS,
    "which",
    "digit",
    "is",
    "alone",
    "in",
    "the",
    "row",
    "column",
    "there",
    "any",
    "?",
)
_NUMBERS = {word: number for number, word in enumerate(WORDS)}


def encode(text: str) -> list[int]:
    """Turn a question or an answer into token numbers, one for each word.

    Raises:
        ValueError: a word is not in the vocabulary.
    """
    unknown = [word for word in text.split() if word not in _NUMBERS]
    if unknown:
        raise ValueError(
            f"text holds {unknown[0]!r}, which is none of the {len(WORDS)} words known"
        )
    return [_NUMBERS[word] for word in text.split()]


def decode(token: int) -> str:
    """Turn one token number back into its word."""
    return WORDS[token]
