"""The command: ``python -m benchmarks.gpu``. Four minutes at most; refuses without a GPU."""

import gc
import json
import os
import sys
import time
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from amad_core.files import write_atomically

RESULTS = Path(__file__).parents[1] / "results" / "gpu.json"


def gpu(
    interpret: Annotated[
        bool,
        typer.Option(
            "--interpret", help="Tiny sizes in Triton's interpreter on the CPU; no times."
        ),
    ] = False,
    seconds: Annotated[float, typer.Option(help="Start nothing after so many.")] = 220,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A file for the figures.")
    ] = RESULTS,
) -> None:
    """Measure the kernels beside named peers, and what they aim at.

    Forward plus backward, from maps and from queries and keys: median milliseconds by
    CUDA events, and peak memory beside the inputs, with the card's name. Raw timings are
    written after each case.
    """
    if interpret:
        os.environ["TRITON_INTERPRET"] = "1"  # Triton looks at it when it is imported
    if find_spec("triton") is None:
        sys.path.append(str(Path(sys.prefix) / "triton"))  # where `make test` has it
    _refuse_without_device(interpret=interpret)
    import torch

    from benchmarks.gpu.aims import verdicts
    from benchmarks.gpu.cases import cases
    from benchmarks.gpu.timing import measured

    torch.manual_seed(0)
    until = time.monotonic() + seconds
    console = Console(width=None if sys.stdout.isatty() else 160)
    found: dict[str, Any] = {"about": _machine(), "rows": {}, "left out": []}
    console.print(", ".join(f"{name} {value}" for name, value in found["about"].items()))
    for name, make in cases(tiny=interpret):
        if time.monotonic() > until:
            found["left out"].append(name)
            continue
        found["rows"][name] = measured(make())
        if not interpret:
            write_atomically(output, json.dumps(found, indent=1) + "\n")
        console.print(f"measured: {name}")
        gc.collect()
    console.print(_table(found["rows"]))
    for line in verdicts(found["rows"]):
        console.print(line, highlight=False)
    if found["left out"]:
        console.print("Left out, as the time was up:", ", ".join(found["left out"]))
    if interpret:
        console.print("Interpreted on the CPU: times say nothing, and nothing was written.")


def _refuse_without_device(*, interpret: bool) -> None:
    import torch

    from amad_torch.kernels.availability import serves

    if not interpret and not torch.cuda.is_available():
        sys.exit(
            "bench-gpu measures kernels on a GPU, and torch sees none here: nothing was measured. "
            "(--interpret runs the script on the CPU, without a time that means anything.)"
        )
    probe = torch.zeros(1, 1, 1, 1, device="cpu" if interpret else "cuda")
    if not serves(probe, probe):
        sys.exit("bench-gpu needs Triton (the extra 'triton') and a GPU that it runs on.")


def _machine() -> dict[str, str]:
    import torch
    import triton

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "interpreted on the CPU"
    return {
        "device": name, "torch": torch.__version__, "CUDA": str(torch.version.cuda),
        "triton": triton.__version__, "date": date.today().isoformat(),
    }  # fmt: skip


def _table(rows: dict[str, dict[str, Any]]) -> Table:
    table = Table("case", "peer", "milliseconds", "megabytes")
    for case, peers in rows.items():
        for name, one in peers.items():
            if one is None:
                table.add_row(case, name, "did not fit", "")
                continue
            peak = f"{one['megabytes']:.1f}" if "megabytes" in one else ""
            table.add_row(case, name, f"{median(one['milliseconds']):.3g}", peak)
    return table


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(gpu)
    app()
