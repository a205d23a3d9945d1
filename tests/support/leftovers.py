"""What a test leaves behind: processes, another folder, another environment, ignored signals."""

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

_SET_BY_LIBRARIES = ("KERAS", "TF_", "TF2_", "TORCH", "PYTORCH", "XLA_", "JAX_", "KMP_", "TPU_")
"""Beginnings of variables that frameworks set when they are imported."""


def surroundings() -> dict[str, Any]:
    """All that tests share, by the name of what it is."""
    return {
        "processes": children(),
        "folder": os.getcwd(),
        "environment": {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTEST", *_SET_BY_LIBRARIES))
        },
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
    }


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What differs, in words; a process that has ended meanwhile does not."""
    found = [
        f"{name} changed: {before[name]} became {after[name]}"
        for name in before
        if name != "processes" and before[name] != after[name]
    ]
    left = {
        pid: command
        for pid, command in after["processes"].items()
        if pid not in before["processes"]
    }
    return found + [f"process {pid} still runs: {command}" for pid, command in left.items()]


def children() -> dict[int, str]:
    """The running processes that this one has started, with their commands; where Linux tells."""
    found = {}
    for task in Path("/proc/self/task").glob("*/children"):
        for pid in task.read_text().split():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                process = Path("/proc", pid)
                if "\nState:\tZ" not in (process / "status").read_text():
                    command = (process / "cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(pid)] = command.decode(errors="replace").strip()
    return found
