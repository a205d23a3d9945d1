"""The picture of which teacher heads went to which student heads."""

from pathlib import Path

from amad_demo.methods import METHODS
from amad_demo.results import Results
from amad_pictures.figures import save_figure
from amad_torch import plot_alignment


def plot_heads(results: Results, seed: int, path: Path) -> None:
    """Draw, for one seed, the alignment weights before training and after each method."""
    students = [student for name in METHODS for student in results.of_method(name)]
    chosen = [student for student in students if student.seed == seed]
    columns = {"Before training": chosen[0].weights_before} | {
        f"After: {METHODS[student.method].title}": student.weights_after for student in chosen
    }
    figure = plot_alignment(
        {
            title: {
                pair.replace(", ", ",\n").replace(" to ", "\nto "): one for pair, one in by.items()
            }
            for title, by in columns.items()
        }
    )
    figure.supxlabel(
        "Line thickness = alignment weight (a teacher head's lines add up to 1), mean over "
        f"questions about unseen digits; temperature {results.config['temperature']:g}, "
        f"seed {seed}.",
        fontsize=9.5,
        color="#333333",
    )
    save_figure(figure, path)
