"""Which student heads each teacher head is explained by, drawn."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from amad_pictures.figures import BLUE, GREEN, ORANGE, PINK, YELLOW, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Weights = Sequence[Sequence[float]]
"""``[Ht][Hs]``, rows that sum to 1."""

HEAD_COLOURS = (BLUE, ORANGE, GREEN, PINK, YELLOW)
_WIDEST_LINE = 7.0
_NODE_SIZE = 190.0


def plot_alignment(
    weights: Mapping[str, Mapping[str, Weights]], path: str | Path | None = None
) -> "Figure":
    """Draw alignment weights: teacher heads above, student heads below, lines between them.

    The thicker a line, the larger the weight; the lines of a teacher head add up to 1. One column
    for each title, one row for each layer.

    Args:
        weights: by title (``"before training"``) what ``measure_alignment`` gave, or in PyTorch the
            ``alignment_weights`` of ``DistillationCallback``; the same layers under each title.
        path: where the picture is written too (PNG, SVG, PDF).

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: nothing to draw, or other layers under one title than under another.

    Example:
        >>> even = {"layer": [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]}
        >>> figure = plot_alignment({"before": even, "after": {"layer": [[1, 0], [0, 1], [0, 1]]}})
        >>> len(figure.axes)
        2
    """
    layers = list(next(iter(weights.values()), {}))
    if not layers or any(set(one) != set(layers) for one in weights.values()):
        given = {title: list(one) for title, one in weights.items()}
        raise ValueError(f"weights must have the same layers under each title; got {given}")
    heads = max(max(len(rows), len(rows[0])) for one in weights.values() for rows in one.values())
    width = max(3.4, 0.42 * heads)
    figure = new_figure(2.0 + width * len(weights), 0.9 + 2.05 * len(layers))
    axes = figure.subplots(len(layers), len(weights), squeeze=False)
    for column, (title, by_layer) in enumerate(weights.items()):
        axes[0][column].set_title(title, fontsize=12, fontweight="bold", pad=10)
        for row, layer in enumerate(layers):
            draw_alignment(axes[row][column], by_layer[layer])
    for row, name in enumerate(_short_names(layers)):
        axes[row][0].set_ylabel(name, fontsize=9, rotation=0, ha="right", va="center")
    figure.suptitle("Which teacher heads (above) went to which student heads (below)", fontsize=13)
    if path is not None:
        save_figure(figure, path)
    return figure


def draw_alignment(axes: "Axes", weights: Weights) -> None:
    """Draw the weights ``[Ht][Hs]`` of one layer into axes of the caller's."""
    teacher_heads, student_heads = len(weights), len(weights[0])
    widest = max(teacher_heads, student_heads) - 1
    above = _spread(teacher_heads, widest)
    # The shorter row is drawn narrower, but not so narrow that its lines pile up.
    below = _spread(student_heads, widest * (1 + student_heads / teacher_heads) / 2)
    shift = (widest - below[0] - below[-1]) / 2
    below = [place + shift for place in below]
    for row, line in zip(weights, above, strict=True):
        for student, (weight, place) in enumerate(zip(row, below, strict=True)):
            axes.plot(
                [line, place],
                [1, 0],
                color=HEAD_COLOURS[student % len(HEAD_COLOURS)],
                linewidth=_WIDEST_LINE * weight,
                alpha=0.15 + 0.75 * weight,
                solid_capstyle="round",
                zorder=1,
            )
    _draw_nodes(axes, above, 1.0, ["#E8E8E8"] * teacher_heads, "black")
    colours = [HEAD_COLOURS[head % len(HEAD_COLOURS)] for head in range(student_heads)]
    _draw_nodes(axes, below, 0.0, colours, "white")
    axes.set_xlim(-0.6, widest + 0.6)
    axes.set_ylim(-0.2, 1.2)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_nodes(
    axes: "Axes", places: list[float], height: float, colours: list[str], text_colour: str
) -> None:
    axes.scatter(
        places, [height] * len(places), s=_NODE_SIZE, c=colours, edgecolors="black", zorder=2
    )
    for number, place in enumerate(places, start=1):
        axes.annotate(
            str(number),
            (place, height),
            ha="center",
            va="center_baseline",
            fontsize=9,
            color=text_colour,
            zorder=3,
        )


def _spread(count: int, width: float) -> list[float]:
    if count == 1:
        return [width / 2]
    return [width * index / (count - 1) for index in range(count)]


def _short_names(layers: list[str]) -> list[str]:
    """What tells the paths of each side apart; names that are no pairs of paths as they are."""
    if not all(" <- " in layer for layer in layers):
        return layers
    student, teacher = zip(*(layer.split(" <- ") for layer in layers), strict=True)
    return [
        f"teacher\n{above}\n\nstudent\n{below}"
        for above, below in zip(_distinct(teacher), _distinct(student), strict=True)
    ]


def _distinct(paths: Sequence[str]) -> list[str]:
    split = [re.split("[./]", path) for path in paths]
    if len(set(paths)) > 1:
        while all(len(one) > 1 and one[0] == split[0][0] for one in split):
            split = [one[1:] for one in split]
        while all(len(one) > 1 and one[-1] == split[0][-1] for one in split):
            split = [one[:-1] for one in split]
    between = "/" if any("/" in path for path in paths) else "."
    short = [between.join(one) for one in split]
    return [f"layer {one}" if one.isdigit() else _in_lines(one, between) for one in short]


def _in_lines(path: str, between: str, width: int = 24) -> str:
    lines = [""]
    for step in path.split(between):
        longer = f"{lines[-1]}{between}{step}".removeprefix(between)
        if lines[-1] and len(longer) > width:
            lines.append(step)
        else:
            lines[-1] = longer
    return "\n".join(lines)
