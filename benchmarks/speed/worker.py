"""A process that measures: cases in, as JSON on a line each, and results out, likewise.

A part has a process to itself: frameworks do not load each other's libraries and threads, and what
one case leaves behind is nobody else's memory.
"""

import json
import os
import sys
import time
import traceback
from importlib import import_module
from typing import Any

from benchmarks.speed.cases import Case

_MODULES = {
    "maps": "maps",
    "memory": "memory",
    "queries-keys": "queries_keys",
    "tensorflow": "tensorflow_losses",
    "step": "step",
}


def main() -> None:
    """Read cases, each with its effort, until there are no more."""
    part = sys.argv[1]
    # What libraries print is for people: results alone go to where they are read.
    results = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    module = import_module(f"benchmarks.speed.{_MODULES[part]}")
    for line in sys.stdin:
        case, effort = json.loads(line)
        answer = _answer(module, Case.of(case), effort)
        print(json.dumps(answer), file=results, flush=True)


def _answer(module: Any, case: Case, effort: dict[str, Any]) -> dict[str, Any]:
    begun, processor = time.monotonic(), sum(os.times()[:4])  # with compilers that it ran
    try:
        found: dict[str, Any] = module.measured(case, **effort)
    except Exception as error:
        traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {error}"}
    took = time.monotonic() - begun
    found["took"] = round(took, 2)
    if "seconds" in found:  # memory is measured by other processes, which this one waits for
        found["of a core"] = round((sum(os.times()[:4]) - processor) / took, 2)
    return found


if __name__ == "__main__":
    main()
