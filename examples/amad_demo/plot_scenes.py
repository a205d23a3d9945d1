"""The picture of what the models see and are asked."""

from pathlib import Path
from textwrap import fill

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from amad_demo.batches import LONGEST_QUESTION, collate
from amad_demo.model import VisualQuestionModel
from amad_demo.questions import ask
from amad_demo.scenes import DIGIT_SIZE, Scene, compose_scene
from amad_demo.vocabulary import decode
from amad_pictures.figures import new_figure, save_figure
from amad_torch import capture_attention

_SEED = 11
_COUNT = 4


def plot_scenes(teacher: VisualQuestionModel, path: Path) -> None:
    """Draw scenes of unseen digits, a question about each, and where the teacher looks.

    The thicker a frame, the more of the answer's cross-attention falls on it.
    """
    random = np.random.default_rng(_SEED)
    scenes = [compose_scene("test", random) for _ in range(_COUNT)]
    questions = [ask(scene, random) for scene in scenes]
    with torch.no_grad(), capture_attention(teacher) as attention:
        logits = teacher(**collate(scenes, questions).inputs)["logits"]
    looks = attention.maps(kind="cross")[-1].mean(dim=1)[:, 0, LONGEST_QUESTION:]
    answers = [decode(int(token)) for token in logits.argmax(dim=1)]
    figure = new_figure(11, 3.7)
    for index, axes in enumerate(figure.subplots(1, _COUNT)):
        _draw_scene(axes, scenes[index], looks[index].tolist())
        question, answer = questions[index], answers[index]
        verdict = "right" if answer == question.answer else f"wrong, it is {question.answer}"
        wrapped = fill(question.text, width=27)
        axes.set_title(wrapped, fontsize=10.5)
        axes.set_xlabel(f"teacher: {answer} ({verdict})", fontsize=10.5)
    figure.suptitle(
        "Scenes of digits no model was trained on; "
        "the thicker a frame, the more the teacher looks there",
        fontsize=13,
    )
    save_figure(figure, path)


def _draw_scene(axes: Axes, scene: Scene, looks: list[float]) -> None:
    axes.imshow(scene.canvas, cmap="gray_r", vmin=0, vmax=1.4)
    strongest = max(max(looks), 1e-9)
    for (top, left), look in zip(scene.corners, looks, strict=False):
        frame = Rectangle(
            (left - 0.5, top - 0.5),
            DIGIT_SIZE,
            DIGIT_SIZE,
            fill=False,
            edgecolor="#D55E00",
            linewidth=0.5 + 3.5 * look / strongest,
            alpha=0.25 + 0.75 * look / strongest,
        )
        axes.add_patch(frame)
    axes.set_xticks([])
    axes.set_yticks([])
