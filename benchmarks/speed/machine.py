"""Where and with what a run measures: written down beside its figures."""

import hashlib
import os
import platform
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

_SOURCES = ("benchmarks/speed", "adapters", "amad_core/arguments")
_PACKAGES = ("amad", "torch", "tensorflow", "keras", "transformers", "numpy")
_VARYING = ("started", "load before")
"""What is different in a run that goes on where another stopped."""


def about(*, threads: int, clock: str, plan: str) -> dict[str, Any]:
    """Machine, versions, date, and what measures it."""
    return {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "load before": [round(one, 2) for one in os.getloadavg()],
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory, GB": round(_memory() / 1e9, 1),
            "system": f"{platform.system()} {platform.machine()}",
        },
        "versions": {"python": platform.python_version()} | _versions(),
        "threads": threads,
        "clock": clock,
        "plan": plan,
        "sources": _digest(),
    }


def same_run(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether figures of both may stand in one table: same machine, versions, sources, plan."""
    return all(one.get(key) == other.get(key) for key in one | other if key not in _VARYING)


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _processor() -> str:
    """By its model where the system says it."""
    told = Path("/proc/cpuinfo")
    if told.exists():
        for line in told.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _digest() -> str:
    """Of all sources whose speed is measured, and of what measures it."""
    found = hashlib.sha256()
    for folder in _SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            found.update(path.read_bytes())
    return found.hexdigest()[:12]
