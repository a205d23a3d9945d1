"""Texts as words."""

import re
from collections.abc import Iterable

_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


def split_words(text: str) -> list[str]:
    """Words and marks of a text, in lower case.

    >>> split_words("Isn't it blue?")
    ["isn't", 'it', 'blue', '?']
    """
    return _WORD.findall(text.lower())


def known_words(texts: Iterable[str]) -> tuple[str, ...]:
    """Every word of some texts once, sorted."""
    return tuple(sorted({word for text in texts for word in split_words(text)}))
