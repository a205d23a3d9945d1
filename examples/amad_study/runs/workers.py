"""Jobs over processes: a worker that dies takes its own job with it, and nothing else."""

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: as it was given.
        answer: what the function returned; `None` with `trouble`.
        trouble: what it raised, or how its worker died; empty if nothing went wrong.
        seconds: from its start to its end.
    """

    job: Any
    answer: Any
    trouble: str
    seconds: float


@dataclass(eq=False)
class _Worker:
    process: BaseProcess
    connection: Connection
    job: Any = None
    needs: Sequence[str] = ()
    started: float = 0.0


def _no_needs(job: Any) -> Sequence[str]:
    return ()


class Workers:
    """Processes that work off jobs, one thread each; they end with the `with` block.

    They do not outlive the process that started them, however it ends, and leave Ctrl-C to it.
    Jobs are begun in their order, but for this: a worker keeps to jobs that need what its last one
    needed, which it may still hold in memory, and leaves to the others what theirs need.

    Args:
        function: of one job; importable, as it runs in other processes.
        processes: how many work at a time.
        needs: of one job, what is made for it, each from the one before: jobs that begin with the
            same needs share those. By default jobs share nothing.

    Raises:
        ValueError: fewer than one process.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        processes: int,
        *,
        needs: Callable[[Any], Sequence[str]] = _no_needs,
    ) -> None:
        if processes < 1:
            raise ValueError(f"processes is {processes}, expected at least 1")
        self._function = function
        self._processes = processes
        self._needs = needs
        self._idle: list[_Worker] = []
        self._busy: list[_Worker] = []

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._busy:
            worker.process.kill()  # what it writes, it writes atomically
        for worker in [*self._idle, *self._busy]:
            worker.connection.close()  # an idle worker reads the end of its jobs
            worker.process.join()
        self._idle, self._busy = [], []

    def run(self, jobs: Iterable[Any]) -> Iterator[Outcome]:
        """Yield what became of each job, as they end."""
        waiting = [(job, self._needs(job)) for job in jobs]
        while waiting or self._busy:
            while waiting and len(self._busy) < self._processes:
                worker = self._idle.pop() if self._idle else self._new()
                self._start(worker, *waiting.pop(self._next(worker, waiting)))
            ready = set(wait([worker.connection for worker in self._busy]))
            for worker in [one for one in self._busy if one.connection in ready]:
                yield self._finish(worker)

    def _next(self, worker: _Worker, waiting: Sequence[tuple[Any, Sequence[str]]]) -> int:
        def fitness(place: int) -> tuple[int, int]:
            needs = waiting[place][1]
            others = [_in_common(needs, other.needs) for other in self._busy]
            return _in_common(needs, worker.needs), -max(others, default=0)

        return max(range(len(waiting)), key=fitness)  # the first of the fittest

    def _start(self, worker: _Worker, job: Any, needs: Sequence[str] = ()) -> None:
        try:
            worker.connection.send(job)
        except OSError:  # it died while it had nothing to do
            worker.process.join()
            worker = self._new()
            worker.connection.send(job)
        worker.job, worker.needs, worker.started = job, needs, time.monotonic()
        self._busy.append(worker)

    def _new(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(self._function, theirs), daemon=True)
        process.start()
        theirs.close()  # so that the worker's end is the end of the pipe
        return _Worker(process, ours)

    def _finish(self, worker: _Worker) -> Outcome:
        self._busy.remove(worker)
        seconds = time.monotonic() - worker.started
        try:
            answer, trouble = worker.connection.recv()
            self._idle.append(worker)
        except (EOFError, OSError):
            worker.connection.close()
            worker.process.join()
            answer, trouble = None, f"its process died ({_ending(worker.process.exitcode)})"
        return Outcome(worker.job, answer, trouble, seconds)


def _in_common(needs: Sequence[str], others: Sequence[str]) -> int:
    """How many needs two jobs share, from the first on."""
    same = takewhile(lambda pair: pair[0] == pair[1], zip(needs, others, strict=False))
    return sum(1 for _ in same)


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            return f"{signal.Signals(-code).name}; out of memory, if nobody sent it"
        except ValueError:
            return f"signal {-code}"
    return f"exit code {code}"


def _work(function: Callable[[Any], Any], jobs: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            job = jobs.recv()
        except (EOFError, OSError):
            return
        try:
            told = function(job), ""
        except Exception as error:  # whatever it is, the other jobs go on
            told = None, _in_a_line(error)
        jobs.send(told)


def _in_a_line(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    where = f" [{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}]" if frames else ""
    return f"{type(error).__name__}: {error}{where}"


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
