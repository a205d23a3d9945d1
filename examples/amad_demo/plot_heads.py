"""The picture of which teacher heads went to which student heads."""

from pathlib import Path

from matplotlib.figure import Figure

from amad_demo.methods import METHODS
from amad_demo.pictures import new_figure, save_figure
from amad_demo.results import Results
from amad_torch.distillation.alignment_picture import draw_alignment


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
            draw_alignment(axes[row][column], weights[pair])
            if row == 0:
                axes[row][column].set_title(title, fontsize=12, fontweight="bold", pad=10)
        axes[row][0].set_ylabel(pair.replace(", ", ",\n").replace(" to ", "\nto "), fontsize=9)
    _label_figure(figure, seed, float(results.config["temperature"]))
    save_figure(figure, path)


def _label_figure(figure: Figure, seed: int, temperature: float) -> None:
    figure.suptitle("Which teacher heads (above) went to which student heads (below)", fontsize=14)
    figure.supxlabel(
        "Line thickness = alignment weight (a teacher head's lines add up to 1), mean over "
        f"questions about unseen digits; temperature {temperature:g}, seed {seed}.",
        fontsize=9.5,
        color="#333333",
    )
