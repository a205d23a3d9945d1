"""The picture of how training went, and of what was learned."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from amad_demo.experiment import STEPS
from amad_demo.methods import METHODS
from amad_demo.pictures import BLIND_COLOUR, METHOD_COLOURS, METHOD_MARKERS, TEACHER_COLOUR
from amad_demo.results import Results
from amad_pictures.figures import new_figure, save_figure


def plot_curves(results: Results, path: Path) -> None:
    """Draw right answers against training steps, and in the end against a question's steps.

    Thick lines are means over seeds, thin ones single seeds.
    """
    figure = new_figure(11, 4.6)
    while_training, in_the_end = figure.subplots(1, 2, sharey=True)
    for name in METHODS:
        students = results.of_method(name)
        steps = [step for step, _ in students[0].curve]
        curves = [[score for _, score in student.curve] for student in students]
        _draw(while_training, name, steps, curves)
        _draw(
            in_the_end,
            name,
            list(range(len(STEPS))),
            [student.accuracy_by_steps for student in students],
        )
    teacher = results.teacher
    in_the_end.plot(teacher["accuracy_by_steps"], color=TEACHER_COLOUR, linestyle="--")
    while_training.axhline(
        teacher["accuracy"], color=TEACHER_COLOUR, linestyle="--", label="teacher"
    )
    while_training.axhline(
        teacher["blind_accuracy"],
        color=BLIND_COLOUR,
        linestyle=":",
        label="guessing without the picture",
    )
    _label(while_training, "While training, on validation scenes", "training steps")
    _label(in_the_end, "In the end, on unseen digits", "what the answer takes")
    while_training.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    while_training.set_ylabel("right answers, %")
    in_the_end.set_xticks(range(len(STEPS)), STEPS)
    while_training.set_ylim(0, 102)
    handles, labels = while_training.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    count = len({student.seed for student in results.students})
    lines = f"mean of {count} seeds (thick) and each of them (thin)" if count > 1 else "one seed"
    figure.suptitle(f"The same student, taught in three ways: {lines}", fontsize=13)
    save_figure(figure, path)


def _draw(axes: Axes, method: str, places: list[int], lines: list[list[float]]) -> None:
    colour = METHOD_COLOURS[method]
    if len(lines) > 1:
        for line in lines:
            axes.plot(places, line, color=colour, linewidth=0.9, alpha=0.45)
    axes.plot(
        places,
        np.mean(lines, axis=0),
        color=colour,
        linewidth=2.4,
        marker=METHOD_MARKERS[method],
        markersize=5,
        label=METHODS[method].title,
    )


def _label(axes: Axes, title: str, below: str) -> None:
    axes.set_title(title, fontsize=11)
    axes.set_xlabel(below)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
