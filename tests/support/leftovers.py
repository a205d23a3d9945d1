"""What a test leaves behind: processes, another folder, another environment, ignored signals."""

import contextlib
import os
import signal
from pathlib import Path
from typing import Any, NamedTuple


class Surroundings(NamedTuple):
    """What all tests share."""

    processes: dict[int, str]
    folder: str
    environment: dict[str, str]
    signals: list[Any]


def surroundings() -> Surroundings:
    """As they are now."""
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    return Surroundings(children(), os.getcwd(), dict(os.environ), handlers)


def left_behind(before: Surroundings, after: Surroundings) -> list[str]:
    """What is not as it was, in words; new variables are not meant: frameworks set them."""
    found = [
        f"process {pid} still runs: {command}"
        for pid, command in after.processes.items()
        if pid not in before.processes
    ]
    found += [
        f"the variable {name} is not what it was"
        for name, value in before.environment.items()
        if after.environment.get(name) != value and not name.startswith("PYTEST_")
    ]
    if after.folder != before.folder:
        found.append(f"the working folder is {after.folder}")
    if after.signals != before.signals:
        found.append("SIGINT or SIGTERM is handled otherwise")
    return found


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
