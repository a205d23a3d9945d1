"""The picture of which teacher heads went to which student heads."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from amad_demo.methods import METHODS
from amad_demo.pictures import HEAD_COLOURS, new_figure, save_figure
from amad_demo.results import Results

WIDEST_LINE = 7.0
_NODE_SIZE = 190.0


def plot_heads(results: Results, seed: int, path: Path) -> None:
    """Draw, for one seed, the alignment weights before training and after each method.

    Rows are layer pairs. In each panel the teacher's heads stand above, the student's below; the
    thickness of a line is the alignment weight, so the lines of a teacher head add up to one.
    """
    students = [results.of_method(name) for name in METHODS]
    chosen = [student for group in students for student in group if student.seed == seed]
    pairs = list(chosen[0].weights_before)
    columns = [("Before training", chosen[0].weights_before)]
    columns += [
        (f"After: {METHODS[student.method].title}", student.weights_after) for student in chosen
    ]
    figure = new_figure(3.4 * len(columns), 0.9 + 2.05 * len(pairs))
    axes = figure.subplots(len(pairs), len(columns), squeeze=False)
    for row, pair in enumerate(pairs):
        for column, (title, weights) in enumerate(columns):
            _draw_panel(axes[row][column], weights[pair])
            if row == 0:
                axes[row][column].set_title(title, fontsize=12, fontweight="bold", pad=10)
        axes[row][0].set_ylabel(pair.replace(", ", ",\n").replace(" to ", "\nto "), fontsize=9)
    _label_figure(figure, seed, float(results.config["temperature"]))
    save_figure(figure, path)


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


def _label_figure(figure: Figure, seed: int, temperature: float) -> None:
    figure.suptitle("Which teacher heads (above) went to which student heads (below)", fontsize=14)
    figure.supxlabel(
        "Line thickness = alignment weight (a teacher head's lines add up to 1), mean over "
        f"questions about unseen digits; temperature {temperature:g}, seed {seed}.",
        fontsize=9.5,
        color="#333333",
    )
