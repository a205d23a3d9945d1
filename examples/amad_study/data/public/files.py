"""Reading published files: JSON that is checked, and lines of text."""

import gzip
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError


class Published(BaseModel):
    """Part of a published file: the fields that are read, and no word about others."""

    model_config = ConfigDict(strict=True, frozen=True)


Model = TypeVar("Model", bound=Published)


def read_json(path: Path, model: type[Model]) -> Model:
    """Read a JSON file and check it.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is no JSON, or not what the format asks for; names the first entry amiss.
    """
    _check_file(path)
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ValueError(
            f"{path}: {where}: {first['msg']} ({error.error_count()} in all); expected the file as "
            "it was published"
        ) from error


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, or of its compressed neighbour, `path` with `.gz` added.

    Raises:
        FileNotFoundError: neither is there.
        ValueError: it is not UTF-8 text.
    """
    packed = path.with_name(f"{path.name}.gz")
    try:
        if not path.exists() and packed.exists():
            text = gzip.decompress(packed.read_bytes()).decode("utf-8")
        else:
            _check_file(path)
            text = path.read_bytes().decode("utf-8")
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError) as error:
        raise ValueError(f"{path} cannot be read as UTF-8 text: {error}") from error
    # Not splitlines(): a published line may hold a character that it would split at.
    return [line.strip() for line in text.removesuffix("\n").split("\n")]


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not there; expected the file under the name it was published by: see the "
            "page on the study's data for the layout"
        )
