"""What all pictures have in common: colours, and how they are made and saved."""

from io import BytesIO
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from amad_core.files import write_atomically

# Okabe and Ito's palette can be told apart with any kind of colour vision.
HEAD_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")


def new_figure(width: float, height: float) -> Figure:
    """Make a figure of a size in inches; no window and no global state is involved."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, in full or not at all."""
    content = BytesIO()
    figure.savefig(content, format="png", dpi=130)
    write_atomically(path, content.getvalue())
