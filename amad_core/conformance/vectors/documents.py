"""JSON files that nobody vouches for: read strictly, refused with the place of a problem."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amad_core.conformance.vectors.schema import broken_rules, pointer_to

DATA = files("amad_core.conformance.vectors") / "data"
"""What ships: the schemas, and the vectors with their sums."""

VECTORS_SCHEMA, RESULTS_SCHEMA = "vectors.schema.json", "results.schema.json"

LARGEST_FILE = 64 * 2**20
"""Bytes. All vectors together are a few million."""

_MOST_DIGITS = 300
_SPELLED = {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}


class FileError(Exception):
    """A vectors or results file that cannot be used.

    Attributes:
        path: the file.
        pointer: place in it as a JSON pointer (``/results/kl-rect-1/value``); empty for the whole.
        message: what is wrong there.
    """

    def __init__(self, path: Path, message: str, pointer: str = "") -> None:
        super().__init__(f"{path}{', at ' + pointer if pointer else ''}: {message}")
        self.path, self.pointer, self.message = path, pointer, message


def load_document(path: Path, schema: str) -> Any:
    """The document in ``path``, which follows a schema.

    Args:
        path: a file.
        schema: :data:`VECTORS_SCHEMA` or :data:`RESULTS_SCHEMA`.

    Raises:
        FileError: no such file, not a regular file, too large, not UTF-8, not JSON, a key twice in
            one object, ``NaN`` or ``Infinity`` (which are not JSON), a number beyond float64, or
            what the schema does not allow.
    """
    text = _text(path)
    try:
        document = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=lambda name: _Refused(f'{name} is not JSON; write "{_SPELLED[name]}"'),
            parse_float=_float,
            parse_int=_integer,
        )
        problems = list(_refused(document, ""))
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise FileError(path, f"not JSON: {error.msg} ({place})") from None
    except RecursionError:
        raise FileError(path, "not usable JSON: nested too deeply") from None
    rules = json.loads(DATA.joinpath(schema).read_text(encoding="utf-8"))
    problems = problems or list(broken_rules(document, rules, rules))
    if problems:
        pointer, message = problems[0]
        more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
        raise FileError(path, message + more, pointer)
    return document


def array_of(
    values: Any, shape: tuple[int, ...], path: Path, pointer: str, dtype: type = np.float64
) -> NDArray[Any]:
    """Nested lists as an array; ``"inf"``, ``"-inf"`` and ``"nan"`` are numbers.

    Raises:
        FileError: with the place where a list is longer or shorter than ``shape`` says.
    """
    _check_lengths(values, shape, path, pointer)
    return np.array(values, dtype=dtype)


def as_json(values: Any) -> Any:
    """An array as nested lists of shortest decimals that give the same float64 back."""
    if isinstance(values, (np.ndarray, np.generic)):
        values = values.tolist()
    if isinstance(values, list):
        return [as_json(value) for value in values]
    if isinstance(values, float) and not math.isfinite(values):
        return str(values)
    return values


@dataclass(frozen=True)
class _Refused:
    """Stands in the document for what the parser cannot locate itself."""

    message: str


def _text(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():
            what = "a directory where a file was expected" if path.is_dir() else "no regular file"
            raise FileError(path, what)
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror or error}") from None
    if len(content) > LARGEST_FILE:
        raise FileError(path, f"larger than {LARGEST_FILE // 2**20} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = f"byte {error.start} of the file"
        raise FileError(path, f"not UTF-8 text ({place}); a JSON file was expected") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, value in pairs:
        document[key] = _Refused("appears twice in one object") if key in document else value
    return document


def _float(text: str) -> float | _Refused:
    number = float(text)
    return number if math.isfinite(number) else _beyond(text)


def _integer(text: str) -> int | _Refused:
    return int(text) if len(text) <= _MOST_DIGITS else _beyond(text)


def _beyond(text: str) -> _Refused:
    shown = text if len(text) <= 12 else f"{text[:12]}... ({len(text)} digits)"
    return _Refused(f"{shown} is beyond float64")


def _refused(value: Any, pointer: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, _Refused):
        yield pointer, value.message
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _refused(inner, pointer + pointer_to(key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            if not isinstance(inner, (float, int, str)):
                yield from _refused(inner, f"{pointer}/{index}")


def _check_lengths(values: Any, shape: tuple[int, ...], path: Path, pointer: str) -> None:
    found = len(values) if isinstance(values, list) else None
    if not shape and found is not None:
        raise FileError(path, f"a number was expected, got an array of {found}", pointer)
    if shape and found is None:
        raise FileError(path, f"an array of {shape[0]} was expected, got a number", pointer)
    if shape and found != shape[0]:
        raise FileError(path, f"{shape[0]} entries were expected, got {found}", pointer)
    for index, inner in enumerate(values if shape else ()):
        _check_lengths(inner, shape[1:], path, f"{pointer}/{index}")
