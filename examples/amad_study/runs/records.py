"""Records of finished cells: one file each, read with care, and merged from several machines."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from amad_core.files import write_atomically
from amad_study.runs.cell import Cell
from amad_study.sentences.cell import SentenceCell

AnyCell = Cell | SentenceCell

KINDS: tuple[type[AnyCell], ...] = (Cell, SentenceCell)
"""Of cells; records of each have a folder of their own."""


class DamagedRecordError(Exception):
    """A file among the results is not what was written there."""


def cell_of(settings: dict[str, Any]) -> AnyCell:
    """A cell of either kind; only scenes have families of models.

    Raises:
        TypeError, ValueError: see `from_json` of the kind.
    """
    return Cell.from_json(settings) if "family" in settings else SentenceCell.from_json(settings)


def record_path(folder: Path, cell: AnyCell) -> Path:
    """Where the record of a cell is kept."""
    return folder / cell.FOLDER / f"{cell.key}.json"


def write_record(folder: Path, cell: AnyCell, record: dict[str, Any]) -> None:
    """Keep the record of a cell: whole, or not at all."""
    write_atomically(record_path(folder, cell), json.dumps(record, indent=1) + "\n")


def read_records(folder: Path, kind: type[AnyCell] = Cell) -> dict[str, dict[str, Any]]:
    """All finished cells of one kind of a folder by key.

    Raises:
        DamagedRecordError: a file that is no record, or of another cell than its name says.
    """
    found = {}
    for path in sorted((folder / kind.FOLDER).glob("*.json")):
        record = read_record(path)
        cell = cell_of(record["cell"])
        if path != (place := record_path(folder, cell)):
            raise DamagedRecordError(f"{path} holds the record of {place}: rename or delete it")
        found[cell.key] = record
    return found


def read_record(path: Path) -> dict[str, Any]:
    """One record of either kind, whatever its file is called.

    Raises:
        DamagedRecordError: a file that is no record.
        OSError: no file.
    """
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        cell_of(record["cell"])
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedRecordError(f"{path} is no record of a cell ({error}): delete it") from None
    return record


def is_study(folder: Path) -> bool:
    """Whether there are records of any kind, or a place for them."""
    return any((folder / kind.FOLDER).is_dir() for kind in KINDS)


OneKind = TypeVar("OneKind", bound=AnyCell)


def unfinished(cells: Iterable[OneKind], folder: Path) -> list[OneKind]:
    """The cells without a record, each once, in order."""
    once = {cell.key: cell for cell in cells}
    return [cell for cell in once.values() if not record_path(folder, cell).exists()]


def read_teachers(folder: Path) -> dict[str, dict[str, Any]]:
    """Of every teacher of a folder, by its name: recipe, task, family, gate and checksum."""
    paths = sorted((folder / "teachers").glob("*.json"))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}


@dataclass(frozen=True)
class Merged:
    """What merging did.

    Attributes:
        copied: so many records are new.
        known: so many were there.
        differing: keys of those that were there with other scores; they stayed as they were.
    """

    copied: int
    known: int
    differing: tuple[str, ...]


def merge(folders: Iterable[Path], into: Path) -> Merged:
    """Copy records of both kinds, and teachers, of several machines into one folder.

    Those that are there stay.

    Raises:
        DamagedRecordError: a file that is no record; nothing was copied then.
    """
    folders = list(folders)
    new: dict[Path, dict[str, Any]] = {}
    known, differing = 0, []
    for kind in KINDS:
        there = read_records(into, kind)
        for folder in folders:
            for key, record in read_records(folder, kind).items():
                path = record_path(into, cell_of(record["cell"]))
                if (other := there.get(key) or new.get(path)) is None:
                    new[path] = record
                    continue
                known += 1
                if other.get("scores") != record.get("scores"):
                    differing.append(key)
    for folder in folders:
        for path in sorted((folder / "teachers").glob("*.json")):
            _copy_teacher(path, into / "teachers")
    for path, record in new.items():
        write_atomically(path, json.dumps(record, indent=1) + "\n")
    return Merged(len(new), known, tuple(sorted(set(differing))))


def _copy_teacher(facts: Path, into: Path) -> None:
    weights = facts.with_suffix(".safetensors")
    if (into / facts.name).exists() or not weights.exists():
        return
    write_atomically(into / weights.name, weights.read_bytes())
    write_atomically(into / facts.name, facts.read_bytes())
