"""Peak memory of one step, in a process of its own for each peer.

It is forked from a process that has loaded a framework and done nothing, takes a step at a tiny
size (where a graph is made for one size, at that), and makes its inputs; the libraries' own files
are read into memory, as a step at another size runs other parts of them, two megabytes or so, which
are no memory of the loss. Then the peak that Linux keeps of a process's resident memory starts anew
(``5`` into ``/proc/self/clear_refs``), and is read after the step (``VmHWM``). Freed tensors go
back to the system at once, so that a peak is of what is in use. Memory comes in pages of 4 KiB, and
an allocator rounds up: ``copy``, which takes nothing, says how exact a figure is.
"""

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.speed.cases import Case
from benchmarks.speed.timing import Turn

_STATUS, _PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_MAPPED = Path("/proc/self/maps")

_GIVEN_BACK = {
    "MALLOC_MMAP_THRESHOLD_": str(2**16),
    "TF_ONEDNN_USE_SYSTEM_ALLOCATOR": "true",  # else TensorFlow keeps what it has freed
}

_POPULATE_READ = 22
"""``MADV_POPULATE_READ`` of Linux from 5.14 on; without it figures are larger, never smaller."""


def measured(case: Case, *, threads: int, **_: Any) -> dict[str, Any]:
    """Extra bytes of each peer at its peak; ``None`` where the system ended it, short of memory."""
    return {
        "bytes": {name: peak(case, name, threads) for name in case.peers},
        "gradient": 4 * case.batch * case.student_heads * case.tokens**2,
    }


def peak(case: Case, name: str, threads: int) -> int | None:
    """Of one peer, by a new process."""
    if not _PEAK.exists():
        raise OSError(f"there is no {_PEAK}: peak memory is measured on Linux alone")
    os.environ.update(_GIVEN_BACK)  # of the process that forks, not of this one
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_PRELOADED[case.part]])
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_in_a_new_process, args=(case.as_dict(), name, threads, there))
    child.start()
    there.close()
    found: int | None = None
    with suppress(EOFError):
        found = here.recv()
    child.join()
    if found is None and child.exitcode != -signal.SIGKILL:
        raise RuntimeError(f"{name}: the process that measures it ended with {child.exitcode}")
    return found


def _in_a_new_process(values: dict[str, Any], name: str, threads: int, to: Connection) -> None:
    case = Case.of(values)
    step, before = _TURNS[case.part](case, name, threads)
    before()
    _read_libraries()
    _PEAK.write_text("5")
    resident = _kibibytes("VmRSS")
    step()
    to.send(1024 * (_kibibytes("VmHWM") - resident))


def _in_torch(case: Case, name: str, threads: int) -> tuple[Turn, Turn]:
    """A step, and what is done before it."""
    import torch

    torch.set_num_threads(threads)
    small = replace(case, batch=1, tokens=4, teacher_heads=3, student_heads=2)
    make = _maker(case)
    step = make(name, case)
    # A compiler's own memory is not meant either, and it compiles for the size at hand.
    return step, step if "compiled" in name else make(name, small)


def _in_tensorflow(case: Case, name: str, threads: int) -> tuple[Turn, Turn]:
    """The step itself comes before it: its graph is one for the size at hand."""
    from benchmarks.speed.tensorflow_losses import turns_of

    step = turns_of(replace(case, peers=(name,)), threads)[name]
    return step, step


_TURNS = {"memory": _in_torch, "tensorflow": _in_tensorflow}
_PRELOADED = {
    "memory": "benchmarks.speed.queries_keys",
    "tensorflow": "benchmarks.speed.tensorflow_losses",
}


def _maker(case: Case) -> Callable[[str, Case], Turn]:
    from benchmarks.speed import queries_keys, torch_losses

    def of_maps(name: str, case: Case) -> Turn:
        return torch_losses.turn_of(name, case, *torch_losses.maps_of(case))

    def of_queries_keys(name: str, case: Case) -> Turn:
        return queries_keys.turn_of(name, case, queries_keys.inputs_of(case))

    return of_queries_keys if case.group == "queries and keys" else of_maps


def _read_libraries() -> None:
    """Have what is mapped of files in memory, not only what has run."""
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    for line in _MAPPED.read_text().splitlines():
        span, rights, *_, name = line.split()
        if rights.startswith("r") and name.startswith("/"):
            start, end = (int(one, 16) for one in span.split("-"))
            advise(start, end - start, _POPULATE_READ)


def _kibibytes(entry: str) -> int:
    lines = _STATUS.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{entry}:"))
