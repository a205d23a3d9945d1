"""Paired differences: a dot for every seed, the mean, and its confidence interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

from markupsafe import Markup

from amad_study.report.charts.drawing import (
    WIDTH,
    dot,
    element,
    line,
    scale_around,
    svg,
    text,
    tick_label,
)

_ROW, _LINE = 46, 17
_FITS = 44
"""So many letters of label and note stand in one line."""

_LEFT, _RIGHT = 12, WIDTH - 12
_HEIGHTS = (0.0, -5.0, 5.0, -9.0, 9.0)
_APART = 6.4


@dataclass(frozen=True)
class Strip:
    """One row.

    Attributes:
        label: above the strip.
        note: at its right end.
        values: by the name of the seed.
        mean, low, high: `None` where there are too few values.
    """

    label: str
    note: str
    values: dict[str, float]
    mean: float | None = None
    low: float | None = None
    high: float | None = None


def draw_strips(strips: Sequence[Strip], axis: str) -> Markup:
    """All rows over one axis, whose label may have several lines, with a line at zero."""
    shown = [value for strip in strips for value in strip.values.values()]
    ends = [end for strip in strips for end in (strip.low, strip.high) if end is not None]
    scale = scale_around([*shown, *ends], _LEFT, _RIGHT, 0.0)
    parts = []
    bottom = 0
    for strip in strips:
        top = bottom
        lines = wrap(strip.label, _FITS) or [""]
        of_label = top + 17 + _LINE * (len(lines) - 1)
        of_note = of_label + (_LINE if len(lines[-1]) + len(strip.note) > _FITS else 0)
        middle = of_note + 17.0
        bottom = of_note - 17 + _ROW
        parts += [
            line(scale(tick), middle - 10, scale(tick), middle + 10, "grid")
            for tick in scale.ticks()
        ]
        parts.append(line(scale(0), middle - 11, scale(0), middle + 11, "zero"))
        parts += [
            text(_LEFT, top + 17 + _LINE * row, line_of, "label")
            for row, line_of in enumerate(lines)
        ]
        parts.append(text(_RIGHT, of_note, strip.note, "note", "end"))
        if strip.low is not None and strip.high is not None:
            parts.append(line(scale(strip.low), middle, scale(strip.high), middle, "interval"))
        taken = [] if strip.mean is None else [(scale(strip.mean), 0.0)]
        for name, value in sorted(strip.values.items(), key=lambda one: one[1]):
            taken.append(_free(scale(value), taken))
            hint = f"{name}: {value:+.1f}"
            parts.append(dot(scale(value), middle + taken[-1][1], "seed", hint))
        if strip.mean is not None:
            x = scale(strip.mean)
            corners = f"{x:.1f},{middle - 7} {x + 4.5:.1f},{middle} {x:.1f},{middle + 7} "
            corners += f"{x - 4.5:.1f},{middle}"
            parts.append(element("polygon", "mean", points=corners))
    bottom += 6
    parts += [
        text(scale(tick), bottom + 13, tick_label(tick), "tick", "middle") for tick in scale.ticks()
    ]
    lines = axis.split("\n")
    for row, line_of in enumerate(lines, start=1):
        parts.append(text(WIDTH / 2, bottom + 15 + 15 * row, line_of, "axis", "middle"))
    label = f"{', '.join(lines)}: {', '.join(strip.label for strip in strips)}"
    return svg(bottom + 21 + 15 * len(lines), label, parts)


def _free(x: float, taken: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """A place at this value, above or below where others are in the way, so that all are seen."""
    nearest = [
        min((math.hypot(x - other, up - height) for other, height in taken), default=_APART)
        for up in _HEIGHTS
    ]
    best = next((row for row, gap in enumerate(nearest) if gap >= _APART), None)
    return x, _HEIGHTS[nearest.index(max(nearest)) if best is None else best]
