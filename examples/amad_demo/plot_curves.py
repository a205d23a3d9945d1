"""The picture of how training went."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from amad_demo.methods import METHODS
from amad_demo.pictures import METHOD_COLOURS, METHOD_MARKERS
from amad_demo.results import Results, StudentResult
from amad_pictures.figures import new_figure, save_figure


def plot_curves(results: Results, path: Path) -> None:
    """Draw the task's loss and the validation accuracy against training steps.

    Thick lines are means over seeds, thin ones single seeds.
    """
    figure = new_figure(11, 4.6)
    loss_axes, accuracy_axes = figure.subplots(1, 2)
    for name in METHODS:
        students = results.of_method(name)
        _draw_curves(loss_axes, name, [student.curve_loss for student in students], students)
        percent = [[100 * value for value in student.curve_accuracy] for student in students]
        _draw_curves(accuracy_axes, name, percent, students)
    _label(loss_axes, "Training loss (task only)", "cross-entropy of the answer")
    _label(accuracy_axes, "Right answers on validation scenes", "exact match, %")
    accuracy_axes.axhline(
        100 * results.teacher["accuracy"], color="#009E73", linestyle="--", label="teacher"
    )
    accuracy_axes.axhline(
        100 * results.teacher["blind_accuracy"],
        color="#CC79A7",
        linestyle=":",
        label="guessing without the image",
    )
    loss_axes.set_ylim(bottom=0)
    accuracy_axes.set_ylim(0, 102)
    handles, labels = accuracy_axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    count = len({student.seed for student in results.students})
    lines = f"mean of {count} seeds (thick) and each of them (thin)" if count > 1 else "one seed"
    figure.suptitle(f"The same student, trained three ways: {lines}", fontsize=13)
    save_figure(figure, path)


def _draw_curves(
    axes: Axes, method: str, curves: list[list[float]], students: list[StudentResult]
) -> None:
    colour, steps = METHOD_COLOURS[method], students[0].steps
    if len(curves) > 1:
        for curve in curves:
            axes.plot(steps, curve, color=colour, linewidth=0.9, alpha=0.45)
    axes.plot(
        steps,
        np.mean(curves, axis=0),
        color=colour,
        linewidth=2.4,
        marker=METHOD_MARKERS[method],
        markersize=5,
        label=METHODS[method].title,
    )


def _label(axes: Axes, title: str, unit: str) -> None:
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("training steps")
    axes.set_ylabel(unit)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
