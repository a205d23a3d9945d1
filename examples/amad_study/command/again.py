"""A cell run again, and held against what was recorded."""

import json
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from amad_study.protocol.condition import score_of
from amad_study.runs.circumstances import machine, versions
from amad_study.runs.plan import ON_SCENES, Work
from amad_study.runs.records import DamagedRecordError, cell_of, read_record
from amad_study.sentences.cell import SentenceCell
from amad_study.sentences.running import WorkOnSentences

COMPARED = ("scores", "curve", "parity", "heads", "loss", "temperature")


def compare_again(
    path: Path,
    folder: Path | None,
    *,
    fresh_teacher: bool = False,
    minilm: str | None = None,
    within: float = 0.0,
    json_output: bool = False,
) -> bool:
    """Run the cell of a record again; whether it came out the same, or near enough.

    Args:
        path: of the record, of a student of either kind.
        folder: of the study whose teacher is taken; `None`: that of the record.
        fresh_teacher: train the teacher again, too; MiniLM is never trained.
        minilm: where MiniLM is, for its students, see `find_minilm`.
        within: points by which the main score may differ.
        json_output: whether JSON is printed.

    Raises:
        DamagedRecordError: the file is no record, or there was no student to be judged.
        OSError: no file; no MiniLM.
        OtherModelError: it is another model than MiniLM.
    """
    record = read_record(path)
    if "scores" not in record:
        why = record.get("refused") or record.get("diverged")
        raise DamagedRecordError(f"{path} has no scores to compare with: {why}")
    cell = cell_of(record["cell"])
    beside = path.resolve().parent
    home = folder or (beside.parent if beside.name == cell.FOLDER else beside)
    work: Work[Any] = WorkOnSentences(minilm) if isinstance(cell, SentenceCell) else ON_SCENES
    with tempfile.TemporaryDirectory() if fresh_teacher else nullcontext(home / "teachers") as at:
        found = comparison(record, work, Path(at))
    near = abs(found["again"] - found["recorded"]) <= within
    if json_output:
        print(json.dumps(found, indent=1))
    else:
        _say(found, within)
    return bool(found["same"]) or (within > 0 and near)


def comparison(record: dict[str, Any], work: Work[Any], teachers: Path) -> dict[str, Any]:
    """What came out before and now, what differs, and what is different about the run."""
    cell = cell_of(record["cell"])
    again = json.loads(json.dumps(work.run(cell, teachers)))
    run = record.get("run", {})
    different = [name for name in COMPARED if record.get(name) != again.get(name)]
    return {
        "key": cell.key,
        "recorded": score_of(record),
        "again": score_of(again),
        "same": not different,
        "different": different,
        "same teacher": run.get("teacher", {}).get("sha256")
        == work.facts(cell, teachers).get("sha256"),
        "same sentences": record.get("corpus") == again.get("corpus"),
        "same machine": run.get("machine") == machine(),
        "same versions": run.get("versions") == versions(),
        "other versions": {
            name: [then, now]
            for name, now in versions().items()
            if (then := run.get("versions", {}).get(name, "unknown")) != now
        },
    }


def _say(found: dict[str, Any], within: float) -> None:
    print(found["key"])
    print(f"recorded {found['recorded']:.2f}, again {found['again']:.2f}")
    if found["same"]:
        print("Every number is the same: scores, curve, parity, heads, losses.")
        return
    print(f"Different: {', '.join(found['different'])}.")
    if not found["same sentences"]:
        print("It learned from other sentences: they come from the installed libraries.")
    others = [name for name in ("teacher", "machine", "versions") if not found[f"same {name}"]]
    if others:
        print(f"Not the same: {', '.join(others)}; from there on rounding differs.")
    for name, (then, now) in found["other versions"].items():
        print(f"  {name}: {then} when it was recorded, {now} now")
    if within:
        near = abs(found["again"] - found["recorded"]) <= within
        print(f"The main score is {'' if near else 'NOT '}within {within:g} points.")
