"""Scores over steps: a thick line for the mean of a method, a thin one for every seed."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from amad_study.report.charts.drawing import (
    WIDTH,
    Scale,
    line,
    path,
    scale_around,
    svg,
    text,
    tick_label,
)

_LEFT, _RIGHT, _TOP, _BOTTOM = 34, WIDTH - 14, 30, 214


@dataclass(frozen=True)
class Curves:
    """The runs of one method.

    Attributes:
        colour: its number in the page's palette.
        steps: at which was judged.
        seeds: for every seed the scores.
    """

    colour: int
    steps: Sequence[float]
    seeds: Sequence[Sequence[float]]

    @property
    def mean(self) -> list[float]:
        """Over seeds, at every step."""
        return [sum(scores) / len(scores) for scores in zip(*self.seeds, strict=True)]


def draw_curves(title: str, curves: Sequence[Curves], teacher: float | None = None) -> Markup:
    """All methods in one picture, and the teacher's score as a dashed line."""
    scores = [score for one in curves for seed in one.seeds for score in seed]
    level = [] if teacher is None else [teacher]
    across = Scale(0, max(max(one.steps) for one in curves), _LEFT, _RIGHT)
    up = scale_around(scores, _BOTTOM, _TOP, *level)
    parts = [text(_LEFT, 16, title, "label")]
    for tick in up.ticks():
        parts.append(line(_LEFT, up(tick), _RIGHT, up(tick), "grid"))
        parts.append(text(_LEFT - 5, up(tick) + 4, tick_label(tick), "tick", "end"))
    for tick in across.ticks():
        parts.append(text(across(tick), _BOTTOM + 15, tick_label(tick), "tick", "middle"))
    if teacher is not None:
        parts.append(line(_LEFT, up(teacher), _RIGHT, up(teacher), "level"))
        parts.append(text(_RIGHT, up(teacher) - 4, "teacher", "tick", "end"))
    for one in curves:
        parts += [_through(one.steps, seed, across, up, one.colour, "one") for seed in one.seeds]
    for one in curves:
        parts.append(_through(one.steps, one.mean, across, up, one.colour, "all"))
    parts.append(text((_LEFT + _RIGHT) / 2, _BOTTOM + 31, "training steps", "axis", "middle"))
    return svg(_BOTTOM + 38, f"Score over training steps, {title}", parts)


def _through(
    steps: Sequence[float], scores: Sequence[float], across: Scale, up: Scale, colour: int, of: str
) -> Markup:
    points = [(across(step), up(score)) for step, score in zip(steps, scores, strict=True)]
    return path(points, f"curve of-{of} c{colour}")
