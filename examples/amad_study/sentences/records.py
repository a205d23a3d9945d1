"""Records of finished cells of sentences, one file each, in a folder beside those of scenes."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from amad_core.files import write_atomically
from amad_study.runs.records import DamagedRecordError
from amad_study.sentences.cell import SentenceCell


def sentence_record_path(folder: Path, cell: SentenceCell) -> Path:
    """Where the record of a cell is kept."""
    return folder / "sentences" / f"{cell.key}.json"


def read_sentence_records(folder: Path) -> dict[str, dict[str, Any]]:
    """All finished cells of a folder by key.

    Raises:
        DamagedRecordError: a file that is no record, or of another cell than its name says.
    """
    found = {}
    for path in sorted((folder / "sentences").glob("*.json")):
        try:
            record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            key = SentenceCell.from_json(record["cell"]).key
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedRecordError(f"{path} is no record of a cell ({error})") from None
        if key != path.stem:
            raise DamagedRecordError(f"{path} holds the record of {key}: rename or delete it")
        found[key] = record
    return found


def merge_sentences(folders: Iterable[Path], into: Path) -> int:
    """Copy records of several machines into one folder; those that are there stay.

    Returns:
        how many were copied.
    """
    copied = 0
    for folder in folders:
        for key, record in read_sentence_records(folder).items():
            path = into / "sentences" / f"{key}.json"
            if not path.exists():
                write_atomically(path, json.dumps(record, indent=1) + "\n")
                copied += 1
    return copied
