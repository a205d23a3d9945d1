"""English sentences that are installed anyway: those of the docstrings of three libraries."""

import ast
import hashlib
import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

LIBRARIES = ("numpy", "scipy", "sklearn")
"""All three are under the BSD licence with three clauses."""

FEWEST_WORDS, MOST_WORDS = 6, 14
_END_OF_SENTENCE = re.compile(r"(?<=[.])\s+(?=[A-Z])")
_PLAIN = re.compile(r"[A-Z][A-Za-z,;'\- ]+\.")


@dataclass(frozen=True)
class Corpus:
    """Sentences in an order that their texts alone decide.

    Attributes:
        train, validation, test: none is in two of them.
        sha256: of all sentences that were found: with other versions of the libraries it differs.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    sha256: str


def corpus_of(sentences: set[str], *, train: int, validation: int, test: int) -> Corpus:
    """Split sentences by the checksums of their texts: test first, then validation, then training.

    So more training sentences change neither of the others.

    Raises:
        ValueError: fewer sentences than asked for.
    """
    wanted = train + validation + test
    if wanted > len(sentences):
        raise ValueError(
            f"train, validation and test are {wanted} sentences together, but there are "
            f"{len(sentences)}: ask for fewer"
        )
    ordered = sorted(sentences, key=lambda one: hashlib.sha256(one.encode()).digest())
    first, second = test, test + validation
    return Corpus(
        train=tuple(ordered[second:wanted]),
        validation=tuple(ordered[first:second]),
        test=tuple(ordered[:first]),
        sha256=hashlib.sha256("\n".join(ordered).encode()).hexdigest(),
    )


@lru_cache(maxsize=1)
def installed_sentences() -> frozenset[str]:
    """All plain sentences in the docstrings of `LIBRARIES`, as they are installed here."""
    found: set[str] = set()
    for library in LIBRARIES:
        spec = importlib.util.find_spec(library)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"No module named {library!r}", name=library)
        root = Path(spec.origin).parent
        for path in sorted(root.rglob("*.py")):
            if "tests" not in path.relative_to(root).parts:
                found.update(sentences_in(path.read_text(encoding="utf-8")))
    return frozenset(found)


def sentences_in(source: str) -> Iterator[str]:
    """Yield the plain sentences of all docstrings of a Python source.

    Plain is what has 6 to 14 words of letters alone, and ends with a full stop.

    Example:
        >>> list(sentences_in('"The mean of all values along one axis. See `mean`."'))
        ['The mean of all values along one axis.']
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for paragraph in (ast.get_docstring(node) or "").split("\n\n"):
                for sentence in _END_OF_SENTENCE.split(" ".join(paragraph.split())):
                    words = len(sentence.split())
                    if FEWEST_WORDS <= words <= MOST_WORDS and _PLAIN.fullmatch(sentence):
                        yield sentence
