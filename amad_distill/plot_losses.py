"""The picture of how the loss and its parts went."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.ticker import MaxNLocator

from amad_pictures.figures import BLUE, ORANGE, new_figure, save_figure

_TITLES = {
    "loss": "Loss",
    "attention": "Attention part",
    "output": "Output part",
    "task": "Task part",
    "accuracy": "Accuracy",
}


def plot_losses(history: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw a panel for the loss and for each of its parts, in training and evaluation.

    Args:
        history: the trainer's log.
        path: of the picture.
    """
    names = [
        name
        for name in _TITLES
        if any(key in entry for entry in history for key in (name, f"eval_{name}"))
    ]
    if not names:
        return
    figure = new_figure(3.6 * len(names) + 0.6, 3.9)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for key, colour, label, marker in (
            (name, BLUE, "training", ""),
            (f"eval_{name}", ORANGE, "evaluation", "o"),
        ):
            points = [(entry["step"], entry[key]) for entry in history if key in entry]
            if points:
                axes.plot(
                    *zip(*points, strict=True),
                    color=colour,
                    label=label,
                    marker="o" if len(points) == 1 else marker,
                    linewidth=1.8,
                )
        axes.set_title(_TITLES[name], fontsize=11)
        axes.set_xlabel("training steps")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=9)
    figure.suptitle("The loss, and its parts before weighting", fontsize=13)
    save_figure(figure, path)
