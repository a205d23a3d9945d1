"""What pictures of distillation have in common: colours, figures without global state, files."""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from amad_core.arguments.extras import install_hint

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette can be told apart with any kind of colour vision.
BLUE, ORANGE, GREEN, PINK, YELLOW = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"


def new_figure(width: float, height: float) -> "Figure":
    """A figure of a size in inches; no window is involved.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise ImportError(
            f"a picture needs matplotlib, which is not installed ({error}); "
            f"{install_hint('pictures')}"
        ) from error
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1)
    figure = Figure(figsize=(width, height), layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: "Figure", path: str | Path) -> None:
    """Write a picture (PNG, SVG, PDF), in full or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = path.suffix.removeprefix(".") or "png"
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        whole = Path(folder) / "picture"
        figure.savefig(whole, format=kind, dpi=130)
        os.replace(whole, path)
