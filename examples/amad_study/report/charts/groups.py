"""Scores in groups: in each the methods side by side, a dot for every seed, and the mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from markupsafe import Markup

from amad_study.report.charts.drawing import (
    WIDTH,
    Scale,
    dot,
    line,
    scale_around,
    svg,
    text,
    tick_label,
)

_LEFT, _RIGHT, _TOP, _BOTTOM = 34, WIDTH - 8, 30, 214
_BAR = 5


@dataclass(frozen=True)
class Lane:
    """The scores of one method in a group.

    Attributes:
        colour: its number in the page's palette.
        name: for whoever points at a dot.
        values: by seed.
    """

    colour: int
    name: str
    values: Mapping[str, float]


def draw_groups(title: str, groups: Mapping[str, Sequence[Lane]], axis: str) -> Markup:
    """All groups side by side over one scale.

    Args:
        title: above the picture.
        groups: by the label below them, with as many lanes in each; some lane has a value.
        axis: what the labels are.
    """
    values = [
        value for lanes in groups.values() for lane in lanes for value in lane.values.values()
    ]
    up = scale_around(values, _BOTTOM, _TOP)
    parts = [text(_LEFT, 16, title, "label")]
    for tick in up.ticks():
        parts.append(line(_LEFT, up(tick), _RIGHT, up(tick), "grid"))
        parts.append(text(_LEFT - 5, up(tick) + 4, tick_label(tick), "tick", "end"))
    wide = (_RIGHT - _LEFT) / len(groups)
    for row, (label, lanes) in enumerate(groups.items()):
        left = _LEFT + row * wide
        if row:
            parts.append(line(left, _TOP, left, _BOTTOM, "grid"))
        parts.append(text(left + wide / 2, _BOTTOM + 15, label, "tick", "middle"))
        for place, lane in enumerate(lanes, start=1):
            parts += _lane(lane, left + wide * place / (len(lanes) + 1), up)
    parts.append(text((_LEFT + _RIGHT) / 2, _BOTTOM + 31, axis, "axis", "middle"))
    return svg(_BOTTOM + 38, f"{title}, by {axis}", parts)


def _lane(lane: Lane, x: float, up: Scale) -> list[Markup]:
    values = list(lane.values.values())
    parts = [
        dot(x, up(value), f"point c{lane.colour}", f"{lane.name}, seed {seed}: {value:.1f}", 2.6)
        for seed, value in lane.values.items()
    ]
    if values:
        mean = fmean(values)
        parts.append(line(x - _BAR, up(mean), x + _BAR, up(mean), "middle"))
    if len(values) > 1:
        spread = stdev(values)
        parts.append(line(x, up(mean - spread), x, up(mean + spread), "spread"))
    return parts
