"""One quantity against another, a dot for every cell of the study."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from amad_study.report.charts.drawing import (
    WIDTH,
    dot,
    line,
    scale_around,
    svg,
    text,
    tick_label,
)

_LEFT, _RIGHT, _TOP, _BOTTOM = 36, WIDTH - 14, 8, 214


@dataclass(frozen=True)
class Point:
    """A dot with its colour's number in the page's palette and a hint."""

    x: float
    y: float
    hint: str
    colour: int = 0


def draw_scatter(points: Sequence[Point], across_label: str, up_label: str) -> Markup:
    """All points, with a line at zero gain."""
    across = scale_around([point.x for point in points], _LEFT, _RIGHT)
    up = scale_around([point.y for point in points], _BOTTOM, _TOP, 0.0)
    parts = []
    for tick in up.ticks():
        parts.append(line(_LEFT, up(tick), _RIGHT, up(tick), "grid"))
        parts.append(text(_LEFT - 5, up(tick) + 4, tick_label(tick), "tick", "end"))
    parts.append(line(_LEFT, up(0), _RIGHT, up(0), "zero"))
    for tick in across.ticks():
        parts.append(line(across(tick), _TOP, across(tick), _BOTTOM, "grid"))
        parts.append(text(across(tick), _BOTTOM + 15, tick_label(tick), "tick", "middle"))
    parts += [
        dot(across(one.x), up(one.y), f"point c{one.colour}", one.hint, radius=4) for one in points
    ]
    parts.append(text((_LEFT + _RIGHT) / 2, _BOTTOM + 31, across_label, "axis", "middle"))
    parts.append(text(_LEFT, _BOTTOM + 48, f"upwards: {up_label}", "axis"))
    return svg(_BOTTOM + 56, f"{up_label} against {across_label}", parts)
