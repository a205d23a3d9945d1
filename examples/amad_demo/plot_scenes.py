"""The picture of what the models see and are asked, and where they look."""

import base64
from io import BytesIO
from pathlib import Path
from textwrap import fill
from typing import Any

from matplotlib.axes import Axes
from matplotlib.image import imread
from matplotlib.patches import Rectangle

from amad_demo.methods import METHODS
from amad_demo.results import Results
from amad_pictures.figures import new_figure, save_figure

_COUNT = 4
_LOOKERS = ("one-to-one", "amad")


def plot_scenes(results: Results, seed: int, path: Path) -> None:
    """Draw scenes of unseen digits, a question about each, and where teacher and students look.

    The thicker a frame, the more of the answer's cross-attention falls on it.
    """
    examples = {
        name: next(one.examples for one in results.of_method(name) if one.seed == seed)
        for name in _LOOKERS
    }
    lines = [("teacher", examples["amad"], "Teacher")] + [
        ("student", examples[name], METHODS[name].title) for name in _LOOKERS
    ]
    figure = new_figure(11, 8.6)
    grid = figure.subplots(len(lines), _COUNT)
    for row, (who, asked, title) in enumerate(lines):
        for column in range(_COUNT):
            axes: Axes = grid[row][column]
            _draw_scene(axes, asked[column], who)
            if row == 0:
                axes.set_title(fill(asked[column]["text"], width=27), fontsize=10.5)
            if column == 0:
                axes.set_ylabel(title, fontsize=11)
    figure.suptitle(
        "Scenes of digits no model was trained on; "
        "the thicker a frame, the more a model looks there to answer",
        fontsize=13,
    )
    save_figure(figure, path)


def _draw_scene(axes: Axes, example: dict[str, Any], who: str) -> None:
    pixels = imread(BytesIO(base64.b64decode(example["picture"])), format="png")
    axes.imshow(pixels, cmap="gray", vmin=0.0, vmax=1.0)
    looks = example[f"{who} attention"]
    strongest = max([*looks, 1e-9])
    for (top, left, bottom, right), look in zip(example["boxes"], looks, strict=True):
        frame = Rectangle(
            (left - 0.5, top - 0.5),
            right - left,
            bottom - top,
            fill=False,
            edgecolor="#D55E00",
            linewidth=0.5 + 3.5 * look / strongest,
            alpha=0.25 + 0.75 * look / strongest,
        )
        axes.add_patch(frame)
    said = example[who] or "(nothing)"
    verdict = "right" if said == example["target"] else f"wrong, it is {example['target']}"
    axes.set_xlabel(f"{said} ({verdict})", fontsize=10.5)
    axes.set_xticks([])
    axes.set_yticks([])
