"""Pictures of what was measured. Okabe and Ito's colours can be told apart with any vision."""

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from amad_core.files import write_atomically
from amad_pictures.figures import new_figure
from benchmarks.speed.cases import (
    ATTENTION,
    BUILT,
    BUILT_PORT,
    COMPILED_PORT,
    FLOOR,
    MEAN_HEAD,
    ONE_TO_ONE,
    OURS,
    PEERS,
    PORT,
)
from benchmarks.speed.exponents import series, size, sweep
from benchmarks.speed.plans import FULL
from benchmarks.speed.results import SHOWN_IN, Measured, Results, digest

AllResults = Mapping[str, Results]

STYLES: dict[str, tuple[str, str, str]] = {
    OURS: ("#D55E00", "o", "-"),
    PORT: ("#0072B2", "s", "-"),
    COMPILED_PORT: ("#56B4E9", "D", "--"),
    ONE_TO_ONE: ("#009E73", "^", "-."),
    MEAN_HEAD: ("#E69F00", "v", ":"),
    "align to distill": ("#CC79A7", "P", "--"),
    "copy": ("#000000", "x", ":"),
    BUILT: ("#E69F00", "v", "--"),
    BUILT_PORT: ("#0072B2", "s", "-"),
    ATTENTION: ("#000000", "x", ":"),
}
"""Colour, marker and line of a peer."""

LABELS = {"tokens": "tokens N", "teacher heads": "teacher heads Ht", "student heads":
          "student heads Hs", "batch": "batch B"}  # fmt: skip
UNITS = {"time": (1e3, "milliseconds"), "memory": (1e-6, "extra megabytes at the peak")}
SHARES = {FLOOR: "#BBBBBB", "today": "#0072B2", "ours": "#D55E00"}


def sweeps(results: Results, what: str) -> Any:
    """Time or memory against each size, a row a loss."""
    variants = list(dict.fromkeys(
        one.case.variant for one in results.cases.values() if one.case.group in FULL.sweeps
    ))  # fmt: skip
    figure = new_figure(13, 3.6 * len(variants) + 0.6)
    axes = figure.subplots(len(variants), len(FULL.sweeps), squeeze=False, sharey="row")
    factor, unit = UNITS[what]
    for row, variant in zip(axes, variants, strict=True):
        for axis, area in zip(FULL.sweeps, row, strict=True):
            cases = sweep(results, variant, axis)
            _lines(area, cases, axis, PEERS[results.part], what, factor)
            area.set_xlabel(LABELS[axis])
            area.set_title(f"{variant}: {_others(cases, axis)}", fontsize=9)
        row[0].set_ylabel(unit)
    _legend(figure, axes.flat)
    return figure


def from_queries_keys(results: AllResults) -> Any:
    """Time and memory against tokens where queries and keys are given."""
    figure = new_figure(13, 4.2)
    areas = figure.subplots(1, 4)
    for start, part, what in ((0, "queries-keys", "time"), (2, "memory", "memory")):
        factor, unit = UNITS[what]
        group = {"time": "sizes", "memory": "queries and keys"}[what]
        for area, variant in zip(areas[start:], ("mse", "kl"), strict=False):
            cases = sorted(
                (one for one in results[part].cases.values()
                 if (one.case.group, one.case.variant) == (group, variant)),
                key=lambda one: one.case.tokens,
            )  # fmt: skip
            _lines(area, cases, "tokens", PEERS["queries-keys"], what, factor)
            area.set_xlabel(LABELS["tokens"])
            area.set_ylabel(unit)
            area.set_title(f"{variant}: {_others(cases, 'tokens')}", fontsize=9)
    _legend(figure, areas)
    return figure


def training_steps(results: Results) -> Any:
    """Bars: a step without attention, and what attention adds, today's way and ours."""
    cases = list(results.cases.values())
    figure = new_figure(11, 1.35 * len(cases) + 1.2)
    areas = figure.subplots(len(cases), 1, squeeze=False)[:, 0]
    for area, one in zip(areas, cases, strict=True):
        medians = one.medians
        floor = 1000 * medians.pop(FLOOR)
        names = list(medians)
        for place, name in enumerate(names):
            whole = 1000 * medians[name]
            added = max(0.0, whole - floor)
            area.barh(place, min(floor, whole), color=SHARES[FLOOR])
            area.barh(place, added, left=floor, color=SHARES[name.partition(",")[0]])
            area.text(
                whole, place, f"  {whole:.0f} ms, {added / whole:.0%}", va="center", fontsize=8
            )
        area.set_yticks(range(len(names)), names, fontsize=8)
        area.invert_yaxis()
        area.margins(x=0.18)
        area.set_title(
            f"{one.case.group}, {one.case.tokens} tokens, batch {one.case.batch}", fontsize=9
        )
        for side in ("top", "right"):
            area.spines[side].set_visible(False)
    areas[-1].set_xlabel(
        "milliseconds of a training step; grey: without an attention term; percent: its share"
    )
    return figure


def _lines(
    area: Any, cases: list[Measured], axis: str, peers: tuple[str, ...], what: str, factor: float
) -> None:
    for peer in peers:
        sizes, values = series(cases, axis, peer, what)
        if not sizes or peer not in STYLES:
            continue
        colour, marker, line = STYLES[peer]
        area.plot(
            sizes, [factor * one for one in values], color=colour, marker=marker, linestyle=line,
            markersize=5, linewidth=2.2 if peer == OURS else 1.3, label=peer,
            zorder=3 if peer == OURS else 2,
        )  # fmt: skip
    area.set_xscale("log", base=2)
    area.set_yscale("log")
    area.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ticks = sorted({size(one, axis) for one in cases})
    ticks = [one for one in ticks if one & (one - 1) == 0]  # powers of 2
    area.set_xticks(ticks, [str(one) for one in ticks])
    area.minorticks_off()
    area.grid(alpha=0.3)


def _others(cases: list[Measured], axis: str) -> str:
    """The sizes that stay."""
    case = cases[0].case
    told = {
        "batch": f"B={case.batch}", "teacher heads": f"Ht={case.teacher_heads}",
        "student heads": f"Hs={case.student_heads}", "tokens": f"N={case.tokens}",
    }  # fmt: skip
    return ", ".join(text for name, text in told.items() if name != axis)


def _legend(figure: Any, areas: Any) -> None:
    """One for all, below."""
    handles = {label: handle for area in areas for handle, label in zip(
        *area.get_legend_handles_labels(), strict=True
    )}  # fmt: skip
    figure.legend(
        list(handles.values()), list(handles), loc="outside lower center", ncols=len(handles),
        frameon=False,
    )  # fmt: skip


PICTURES: dict[str, Callable[[AllResults], Any]] = {
    "speed-time": lambda found: sweeps(found["maps"], "time"),
    "speed-memory": lambda found: sweeps(found["memory"], "memory"),
    "speed-queries-keys": from_queries_keys,
    "speed-step": lambda found: training_steps(found["step"]),
}
"""By file name, what draws it; ``results.SHOWN_IN`` has what it draws."""


def draw(results: AllResults, folder: Path) -> list[str]:
    """Write every picture that there are results for; their names."""
    drawn = []
    for name, make in PICTURES.items():
        parts = SHOWN_IN[name]
        if set(parts) <= set(results):
            content = BytesIO()
            metadata = {"Source": digest(results, parts)}
            make(results).savefig(content, format="png", dpi=110, metadata=metadata)
            write_atomically(folder / f"{name}.png", content.getvalue())
            drawn.append(name)
    return drawn
