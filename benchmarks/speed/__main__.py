"""The command: ``python -m benchmarks.speed``."""

import sys
import time
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from amad_distill.display import Display
from benchmarks.speed.cases import PARTS, VARIANTS
from benchmarks.speed.machine import ROOT, about
from benchmarks.speed.plans import PLANS
from benchmarks.speed.results import read_all
from benchmarks.speed.running import run_part
from benchmarks.speed.selection import Selection, chosen_cases
from benchmarks.speed.tables import show

RESULTS = ROOT / "benchmarks" / "results" / "speed"
ELSEWHERE = ROOT / "build" / "speed"
"""For what is not all of it: it takes no measured figure's place."""

BUSY = 0.9
"""A case that has less of a core was disturbed."""

_FAILED, _BAD_INPUT, _INTERRUPTED = 1, 2, 130

Part = Enum("Part", {name: name for name in PARTS}, type=str)  # type: ignore[misc]
Variant = Enum("Variant", {name: name for name in VARIANTS}, type=str)  # type: ignore[misc]


class Clock(str, Enum):
    """What counts seconds."""

    WALL = "wall"
    PROCESSOR = "processor"


def speed(
    only: Annotated[
        list[Part] | None, typer.Option(help="A part; repeat for several. Default: all of them.")
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Small sizes, few rounds, no compiler: two minutes."),
    ] = False,
    tiny: Annotated[
        bool, typer.Option("--tiny", help="To see that it runs: times of tiny sizes say nothing.")
    ] = False,
    variant: Annotated[
        list[Variant] | None, typer.Option(help="This variant alone; repeat for several.")
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(
            help="Cases of this group alone: sizes, tokens, 'teacher heads', 'student heads', "
            "batch, 'queries and keys', BLIP-like, GPT-2-like; repeat for several."
        ),
    ] = None,
    tokens: Annotated[
        list[int] | None, typer.Option(help="Sizes of your own; repeat for several.", min=1)
    ] = None,
    batch: Annotated[int, typer.Option(help="Samples, with --tokens.", min=1)] = 1,
    teacher_heads: Annotated[int, typer.Option(help="With --tokens.", min=1)] = 12,
    student_heads: Annotated[int, typer.Option(help="With --tokens.", min=1)] = 8,
    causal: Annotated[bool, typer.Option("--causal", help="With --tokens.")] = False,
    peer: Annotated[
        list[str] | None, typer.Option(help="This peer alone; repeat for several.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="For so long each case is measured, and a few rounds.")
    ] = None,
    threads: Annotated[int, typer.Option(help="Of everything that computes.", min=1)] = 1,
    clock: Annotated[
        Clock,
        typer.Option(help="'processor' counts own seconds, on a machine with other work."),
    ] = Clock.WALL,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help=f"Folder of results. Default: {RESULTS.relative_to(ROOT)} for all of a part, "
            f"{ELSEWHERE.relative_to(ROOT)} for anything less.",
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Measure anew what an interrupted run measured.")
    ] = False,
) -> None:
    """Measure speed and memory of the losses beside named peers.

    Everything takes a quarter of an hour of one core. Raw timings of each part go into
    a JSON file, case by case: Ctrl-C is safe, and the same command goes on
    from there. `python -m benchmarks.speed.page` makes tables and pictures of
    docs/speed.md from them. Exit code 1: a case failed, and its part is unfinished.
    """  # fmt: skip
    plan = "tiny" if tiny else "quick" if quick else "full"
    selection = Selection(
        variants=[one.value for one in variant or []], groups=group or [], peers=peer or [],
        tokens=tokens or [], batch=batch, teacher_heads=teacher_heads,
        student_heads=student_heads, causal=causal,
    )  # fmt: skip
    folder = output or (RESULTS if plan == "full" and not selection.is_less else ELSEWHERE)
    parts = [one.value for one in only or []] or list(PARTS)
    effort = {"clock": clock.value, "threads": threads}
    display = Display(Console(stderr=True))
    try:
        failures = _run(plan, selection, parts, folder, effort, seconds, fresh, display)
    except KeyboardInterrupt:
        display.say(f"Stopped. What was measured is kept in {folder}; the same command goes on.")
        raise typer.Exit(_INTERRUPTED) from None
    except (OSError, ValueError) as error:
        display.say(str(error))
        raise typer.Exit(_BAD_INPUT) from None
    results = read_all(folder, parts)
    show(results, Console(width=None if sys.stdout.isatty() else 160))
    for part, found in results.items():
        if clock is Clock.WALL and found.of_a_core is not None and found.of_a_core < BUSY:
            display.say(
                f"{part}: a case had {found.of_a_core:.0%} of a core, as the machine had other "
                "work: measure again, or with --clock processor"
            )
    if failures:
        display.say("\n".join(["", "Failed, and tried again by the same command:", *failures]))
        raise typer.Exit(_FAILED)


def _run(
    name: str,
    selection: Selection,
    parts: list[str],
    folder: Path,
    effort: dict[str, Any],
    seconds: float | None,
    fresh: bool,
    display: Display,
) -> list[str]:
    """Measure part after part; what failed, in words."""
    plan, failures = PLANS[name], []
    here = about(**effort, plan=name)
    given = effort if seconds is None else {**effort, "seconds": seconds}
    chosen = {part: chosen_cases(plan, part, selection) for part in parts}
    for part, cases in chosen.items():
        begun = time.monotonic()
        with display.bar() as told:
            failures += run_part(
                part, cases, folder, here, lambda case: {**plan.effort(case), **given},
                fresh=fresh, told=told,
            )  # fmt: skip
        display.say(f"{part}: {time.monotonic() - begun:.0f} seconds")
    return failures


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(speed)
    app()
