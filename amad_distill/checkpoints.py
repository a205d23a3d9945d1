"""Where a run stands: its settings, its last whole checkpoint, its result."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from amad_core.files import write_atomically
from amad_distill.mistakes import SettingsError, joined
from amad_distill.settings import Settings

SETTINGS_FILE, RESULT_FILE, LOG_FILE = "settings.json", "result.json", "log.jsonl"


def begin(folder: Path, settings: Settings, *, fresh: bool) -> None:
    """Make the folder of a run, or see that the one that is there is of the same settings.

    Of several processes (torchrun, accelerate launch) the first does it.

    Args:
        folder: where the run writes.
        settings: of this run.
        fresh: what an earlier run left (settings, log, result, checkpoints) is deleted.

    Raises:
        SettingsError: the folder holds another run, or something else.
    """
    if not is_first_process():
        return
    file = folder / SETTINGS_FILE
    now = json.loads(settings.model_dump_json(by_alias=True))
    ours = file.is_file()
    if fresh and ours:
        _delete(folder)
    if not file.is_file():
        if not ours and folder.is_dir() and any(folder.iterdir()):
            raise SettingsError(
                f"output_dir: {folder} is not empty and holds no run of this command; name another"
            )
        write_atomically(file, json.dumps(now, indent=1) + "\n")
        return
    try:
        then = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"output_dir: {file} cannot be read ({error}); see --fresh") from None
    if last_checkpoint(folder) is None and earlier_result(folder) is None:
        write_atomically(file, json.dumps(now, indent=1) + "\n")  # nothing has come of it
        return
    different = [key for key in _different(then, now) if key not in ("output_dir", "pictures")]
    if different:
        raise SettingsError(
            f"output_dir: {folder} holds a run of other settings ({', '.join(different)} differ); "
            "name another folder, or start anew with --fresh, which deletes that run's checkpoints"
        )


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end; one that was cut off is deleted.

    The trainer writes `trainer_state.json` last.
    """
    found = sorted(folder.glob("checkpoint-*"), key=_step)
    for checkpoint in reversed(found):
        try:
            json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            if is_first_process():
                shutil.rmtree(checkpoint)
        else:
            return checkpoint
    return None


def earlier_result(folder: Path) -> dict[str, Any] | None:
    """The result, if the run is at its end."""
    try:
        return dict(json.loads((folder / RESULT_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def is_first_process() -> bool:
    """Whether this is the only process, or the first of those that a launcher started."""
    return os.environ.get("RANK", "0") == "0"


def _delete(folder: Path) -> None:
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    for name in (SETTINGS_FILE, RESULT_FILE, LOG_FILE):
        (folder / name).unlink(missing_ok=True)


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdigit() else -1


def _different(one: Any, other: Any, section: str = "") -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *(key for key in other if key not in one)]:
            yield from _different(one.get(key), other.get(key), joined(section, key))
    elif one != other:
        yield section
