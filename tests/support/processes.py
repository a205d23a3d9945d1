"""Commands that a test starts in a process of their own, and ends."""

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def running(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """The process while it runs; it is gone afterwards, however the test goes.

    Ctrl-C reaches it also where the tests run in the background, under ``nohup`` or ``&``: there
    SIGINT is ignored, which a process hands on to those that it starts.
    """
    ours = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        process = subprocess.Popen(command, text=True, **options)
    finally:
        signal.signal(signal.SIGINT, ours)
    with process:  # which waits for its end, and closes its pipes
        try:
            yield process
        finally:
            process.kill()
