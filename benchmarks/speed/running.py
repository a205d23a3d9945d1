"""Runs parts: a process each, a case after the other, what was measured kept at once."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from benchmarks.speed.cases import Case
from benchmarks.speed.machine import ROOT
from benchmarks.speed.results import begun, finish, keep

Told = Callable[[int, int, str], None]
"""Takes the number of cases done, of all, and the name of the last."""

Effort = Callable[[Case], Mapping[str, Any]]
"""What a part's ``measured`` takes besides a case."""


def run_part(
    part: str,
    cases: Sequence[Case],
    folder: Path,
    about: dict[str, Any],
    effort: Effort,
    *,
    fresh: bool,
    told: Told,
) -> list[str]:
    """Measure what is not there yet; return what failed, in words.

    A case that fails is left out, and so the part stays unfinished: the next run tries it again.
    """
    results = begun(folder, part, about, fresh=fresh)
    waiting = [case for case in cases if not results.has(case)]
    failures = []
    with Worker(part, about["threads"]) as worker:
        for case in waiting:
            found = worker.measure(case, effort(case))
            if "failed" in found:
                failures.append(f"{part}, {case.name}: {found['failed']}")
            else:
                results.add(case, found)
                keep(folder, results)
            told(len(results.cases), len(cases), f"{part}, {case.name}")
    if not failures:
        finish(folder, results, cases)
    return failures


class Worker:
    """The process that measures. One that dies is started anew for the next case."""

    def __init__(self, part: str, threads: int) -> None:
        self._command = [sys.executable, "-m", "benchmarks.speed.worker", part]
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(paths),
            "OMP_NUM_THREADS": str(threads),
            "TORCHINDUCTOR_COMPILE_THREADS": "1",  # else compilers run on and on
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "KERAS_BACKEND": "tensorflow",
        }
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "Worker":
        return self

    def measure(self, case: Case, effort: Mapping[str, Any]) -> dict[str, Any]:
        """What the worker says of a case; what failed, in words, under ``failed``."""
        process = self._process or self._started()
        to, answers = _pipes(process)
        try:
            print(json.dumps([case.as_dict(), dict(effort)]), file=to, flush=True)
            line = answers.readline()
        except BrokenPipeError:
            line = ""
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self._end()
        return {"failed": f"its process ended with code {process.returncode}; was memory short?"}

    def _started(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(
            self._command, env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, start_new_session=True,
        )  # fmt: skip
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):  # with all that it started: children, compilers
                os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait()
            for pipe in _pipes(self._process):
                with suppress(BrokenPipeError):
                    pipe.close()
            self._process = None

    def __exit__(self, *_: object) -> None:
        self._end()


def _pipes(process: subprocess.Popen[str]) -> tuple[TextIO, TextIO]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout  # type: ignore[return-value]
