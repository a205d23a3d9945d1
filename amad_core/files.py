"""Writing files so that nobody ever sees half of one. Standard library only."""

import os
import secrets
import stat
import sys
from pathlib import Path


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file in full or not at all: into a neighbouring file first, renamed when done.

    A link stays a link, and the file that it leads to is written; a file keeps its mode. What
    cannot be replaced is written to: a device, a named pipe (this waits for its reader), and
    whatever standard output or standard error goes to.

    Args:
        path: the file; folders that are missing are made.
        content: text is written as UTF-8.

    Raises:
        OSError: it cannot be written; what was in the file before is there still.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        old = os.stat(path)  # follows links
    except FileNotFoundError:
        old = None
    stream = None if old is None else _stream_into(old)
    if stream is not None:
        _write_all(os.dup(stream), data)
    elif old is not None and not stat.S_ISREG(old.st_mode):
        _write_all(os.open(path, os.O_WRONLY), data)
    else:
        _replace(Path(os.path.realpath(path)), data, old)


def _stream_into(old: os.stat_result) -> int | None:
    """The stream that goes to a file: replaced, it would lose what the program prints there."""
    for stream in (sys.__stdout__, sys.__stderr__):
        try:
            if stream is not None and os.path.samestat(old, os.fstat(stream.fileno())):
                stream.flush()
                return stream.fileno()
        except (OSError, ValueError):  # closed
            continue
    return None


def _write_all(descriptor: int, data: bytes) -> None:
    with open(descriptor, "wb") as file:
        file.write(data)


def _replace(path: Path, data: bytes, old: os.stat_result | None) -> None:
    if old is None:
        path.parent.mkdir(parents=True, exist_ok=True)
    else:
        path.open("ab").close()  # a file that may not be written may not be replaced either
    draft = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with draft.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if old is not None:
            os.chmod(draft, stat.S_IMODE(old.st_mode))
        os.replace(draft, path)
    except BaseException:  # Ctrl-C too
        draft.unlink(missing_ok=True)
        raise
