"""JSON without surprises: no key twice, no NaN literal, no number that a float cannot hold."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amad_core.conformance.vectors.file_error import FileError, pointer_to

LARGEST_FILE = 64 * 2**20
"""Bytes. All vectors together are a few million."""

_MOST_DIGITS = 300


@dataclass(frozen=True)
class _Refused:
    """Stands in the document for what the parser cannot locate itself."""

    message: str


def load_json(path: Path) -> Any:
    """The document in ``path``.

    Raises:
        FileError: no such file, not a regular file, too large, not UTF-8, not JSON, a key twice in
            one object, ``NaN`` or ``Infinity`` (which are not JSON), a number beyond float64.
    """
    text = _text(path)
    try:
        document = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=lambda name: _Refused(f'{name} is not JSON; write "{_spelled(name)}"'),
            parse_float=_float,
            parse_int=_integer,
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise FileError(path, f"not JSON: {error.msg} ({place})") from None
    except RecursionError:
        raise FileError(path, "not usable JSON: nested too deeply") from None
    for pointer, refused in _refused(document, ""):
        raise FileError(path, refused.message, pointer)
    return document


def _text(path: Path) -> str:
    try:
        if path.is_dir():
            raise FileError(path, "a directory where a file was expected")
        if path.exists() and not path.is_file():
            raise FileError(path, "not a regular file")
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror or error}") from None
    if len(content) > LARGEST_FILE:
        raise FileError(path, f"larger than {LARGEST_FILE // 2**20} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(
            path, f"not UTF-8 text (byte {error.start} of the file); a JSON file was expected"
        ) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, value in pairs:
        document[key] = _Refused("appears twice in one object") if key in document else value
    return document


def _float(text: str) -> float | _Refused:
    number = float(text)
    return number if math.isfinite(number) else _Refused(f"{_short(text)} is beyond float64")


def _integer(text: str) -> int | _Refused:
    return int(text) if len(text) <= _MOST_DIGITS else _Refused(f"{_short(text)} is beyond float64")


def _refused(value: Any, pointer: str) -> Iterator[tuple[str, _Refused]]:
    if isinstance(value, _Refused):
        yield pointer, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _refused(inner, pointer + pointer_to(key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            if not isinstance(inner, (float, int, bool, str)):
                yield from _refused(inner, f"{pointer}/{index}")


def _spelled(name: str) -> str:
    return {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}[name]


def _short(text: str) -> str:
    return text if len(text) <= 12 else f"{text[:12]}... ({len(text)} digits)"
