"""Writing files so that nobody ever sees half of one."""

import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file in full or not at all: into a neighbouring file first, renamed when done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(draft, 0o644)  # mkstemp makes files that only their owner may read
        os.replace(draft, path)
    except BaseException:  # Ctrl-C too
        Path(draft).unlink(missing_ok=True)
        raise
