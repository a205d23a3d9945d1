"""The picture of which teacher heads went to which student heads."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes

from amad_distill.alignment import Alignment
from amad_distill.figures import HEAD_COLOURS, new_figure, save_figure

WIDEST_LINE = 7.0
_NODE_SIZE = 190.0
_MOST_LINES = 16
"""More heads than this are drawn as a grid of cells."""


def plot_heads(columns: Mapping[str, Alignment], caption: str, path: Path) -> None:
    """Draw alignment weights: a row for each pair of layers, a column for each alignment by title.

    In each panel the teacher's heads stand above, the student's below; the thickness of a line is
    the alignment weight, so the lines of a teacher head add up to one. Where there are many heads
    it is the darkness of a cell, teacher heads in rows.
    """
    pairs = list(next(iter(columns.values())))
    heads = max(max(len(rows), len(rows[0])) for one in columns.values() for rows in one.values())
    width = 3.4 if heads <= 8 or heads > _MOST_LINES else 0.42 * heads
    figure = new_figure(2.0 + width * len(columns), 1.2 + 2.05 * len(pairs))
    axes = figure.subplots(len(pairs), len(columns), squeeze=False)
    for row, (pair, label) in enumerate(zip(pairs, _labels(pairs), strict=True)):
        for column, (title, weights) in enumerate(columns.items()):
            draw = _draw_panel if heads <= _MOST_LINES else _draw_cells
            draw(axes[row][column], weights[pair])
            if row == 0:
                axes[row][column].set_title(title, fontsize=12, fontweight="bold", pad=10)
        axes[row][0].set_ylabel(label, fontsize=9, rotation=0, ha="right", va="center")
    figure.suptitle("Which teacher heads (above) went to which student heads (below)", fontsize=14)
    figure.supxlabel(caption, fontsize=9.5, color="#333333")
    save_figure(figure, path)


def _labels(pairs: list[str]) -> list[str]:
    """Names of pairs with what all paths of a side have in common left out, one side a line."""
    if not all(" <- " in pair for pair in pairs):
        return pairs
    sides = [_shortened([pair.split(" <- ")[side] for pair in pairs]) for side in (1, 0)]
    return [
        f"teacher\n{teacher}\n\nstudent\n{student}" for teacher, student in zip(*sides, strict=True)
    ]


def _shortened(paths: list[str]) -> list[str]:
    split = [path.split(".") for path in paths]
    if len(set(paths)) > 1:
        while all(len(one) > 1 and one[0] == split[0][0] for one in split):
            split = [one[1:] for one in split]
        while all(len(one) > 1 and one[-1] == split[0][-1] for one in split):
            split = [one[:-1] for one in split]
    lines = [".".join(one) for one in split]
    return [f"layer {one}" if one.isdigit() else "\n".join(_wrapped(one, 24)) for one in lines]


def _wrapped(path: str, width: int) -> list[str]:
    lines = [""]
    for step in path.split("."):
        longer = f"{lines[-1]}.{step}".removeprefix(".")
        if lines[-1] and len(longer) > width:
            lines.append(step)
        else:
            lines[-1] = longer
    return lines


def _draw_cells(axes: Axes, weights: list[list[float]]) -> None:
    axes.imshow(weights, cmap="Blues", vmin=0, aspect="auto")
    axes.set_xticks([])
    axes.set_yticks([])


def _draw_panel(axes: Axes, weights: list[list[float]]) -> None:
    teacher_heads, student_heads = len(weights), len(weights[0])
    widest = max(teacher_heads, student_heads) - 1
    above = _spread(teacher_heads, widest)
    # The shorter row is drawn narrower, but not so narrow that its lines pile up.
    below = _spread(student_heads, widest * (1 + student_heads / teacher_heads) / 2)
    shift = (widest - below[0] - below[-1]) / 2
    below = [place + shift for place in below]
    for row, line in zip(weights, above, strict=True):
        for student, (weight, place) in enumerate(zip(row, below, strict=True)):
            colour = HEAD_COLOURS[student % len(HEAD_COLOURS)]
            axes.plot(
                [line, place],
                [1, 0],
                color=colour,
                linewidth=WIDEST_LINE * weight,
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
    axes: Axes, places: list[float], height: float, colours: list[str], text_colour: str
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
