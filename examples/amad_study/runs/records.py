"""Records of finished cells: one file each, read with care, and merged from several machines."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amad_core.files import write_atomically
from amad_study.runs.cell import Cell


class DamagedRecordError(Exception):
    """A file among the results is not what was written there."""


def record_path(folder: Path, cell: Cell) -> Path:
    """Where the record of a cell is kept."""
    return folder / "cells" / f"{cell.key}.json"


def read_records(folder: Path) -> dict[str, dict[str, Any]]:
    """All finished cells of a folder by key.

    Raises:
        DamagedRecordError: a file that is no record, or of another cell than its name says.
    """
    found = {}
    for path in sorted((folder / "cells").glob("*.json")):
        record = read_record(path)
        if (key := Cell.from_json(record["cell"]).key) != path.stem:
            raise DamagedRecordError(f"{path} holds the record of {key}: rename or delete it")
        found[path.stem] = record
    return found


def read_record(path: Path) -> dict[str, Any]:
    """One record, whatever its file is called.

    Raises:
        DamagedRecordError: a file that is no record.
        OSError: no file.
    """
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        Cell.from_json(record["cell"])
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedRecordError(f"{path} is no record of a cell ({error}): delete it") from None
    return record


def unfinished(cells: Iterable[Cell], folder: Path) -> list[Cell]:
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
    """Copy records and teachers of several machines into one folder; those that are there stay.

    Raises:
        DamagedRecordError: a file that is no record; nothing was copied then.
    """
    there, folders = read_records(into), list(folders)
    new: dict[str, dict[str, Any]] = {}
    known, differing = 0, []
    for folder in folders:
        for key, record in read_records(folder).items():
            if (other := there.get(key) or new.get(key)) is None:
                new[key] = record
                continue
            known += 1
            if other.get("scores") != record.get("scores"):
                differing.append(key)
    for folder in folders:
        for path in sorted((folder / "teachers").glob("*.json")):
            _copy_teacher(path, into / "teachers")
    for key, record in new.items():
        write_atomically(into / "cells" / f"{key}.json", json.dumps(record, indent=1) + "\n")
    return Merged(len(new), known, tuple(sorted(set(differing))))


def _copy_teacher(facts: Path, into: Path) -> None:
    weights = facts.with_suffix(".safetensors")
    if (into / facts.name).exists() or not weights.exists():
        return
    write_atomically(into / weights.name, weights.read_bytes())
    write_atomically(into / facts.name, facts.read_bytes())
