"""The picture of which teacher heads went to which student heads."""

from pathlib import Path

from amad_demo.experiment import PICTURED_TEMPERATURE
from amad_demo.methods import METHODS
from amad_demo.results import Results
from amad_pictures.figures import save_figure
from amad_torch import plot_alignment


def plot_heads(results: Results, seed: int, path: Path) -> None:
    """Draw, for one seed, the alignment weights before training and after each method."""
    students = [student for name in METHODS for student in results.of_method(name)]
    chosen = [student for student in students if student.seed == seed]
    figure = plot_alignment(
        {"Before training": chosen[0].weights_before}
        | {f"After: {METHODS[one.method].title}": one.weights_after for one in chosen}
    )
    figure.supxlabel(
        "Line thickness = alignment weight (a teacher head's lines add up to 1), mean over "
        f"questions about unseen digits, at temperature {PICTURED_TEMPERATURE:g}; "
        f"seed {seed}.",
        fontsize=9.5,
        color="#333333",
    )
    save_figure(figure, path)
