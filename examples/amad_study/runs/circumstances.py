"""Under what circumstances a cell was run: machine, versions, date, and the teacher it had."""

import json
import os
import platform
import subprocess
import sys
from datetime import datetime, timezone
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from amad_study.runs.cell import Cell

_LIBRARIES = ("torch", "transformers", "numpy", "scipy", "scikit-learn", "sacrebleu")


def surroundings(seconds: float) -> dict[str, Any]:
    """What a record says about its run, beside what came out and the teacher.

    Args:
        seconds: that it took, with everything around the training.
    """
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "elapsed": round(seconds, 2),
        "machine": machine(),
        "versions": versions(),
    }


def teacher_facts(cell: Cell, teachers: Path) -> dict[str, Any]:
    """Checksum and gate of the cell's teacher as it lies in the folder; empty if none does.

    Trained on two machines, a teacher of one recipe is not the same to the last digit: the checksum
    tells whether two cells had the same.
    """
    recipe = json.loads(json.dumps(cell.teacher_recipe.as_json()))
    for path in sorted(teachers.glob(f"{cell.task}-{cell.family}-*.json")):
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["recipe"] == recipe:
            return {"name": path.stem, "sha256": facts["sha256"], "gate": facts["gate"]}
    return {}


@lru_cache
def machine() -> dict[str, Any]:
    """Processor, cores and system; not its name."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.release()}",
    }


@lru_cache
def versions() -> dict[str, str]:
    """Of Python, of the libraries that decide what comes out, and of this code."""
    found = {"python": platform.python_version(), "amad": _of_this_code()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if sys.platform == "linux" and cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _of_this_code() -> str:
    """The release, and in a clone the commit; `-dirty` if the clone has changes."""
    from amad_core import __version__

    if _git("rev-parse", "--show-prefix") != "examples/amad_study/runs/":
        return __version__  # installed, perhaps inside somebody's own repository
    return (
        f"{__version__} ({_git('describe', '--always', '--dirty', '--abbrev=12', '--exclude=*')})"
    )


def _git(*command: str) -> str:
    try:
        done = subprocess.run(
            ["git", *command],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
