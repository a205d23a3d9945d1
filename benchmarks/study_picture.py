"""The picture of example scenes, with the three tasks that are made of each."""

from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.patches import Rectangle

from amad_pictures.figures import new_figure, save_figure
from amad_study.data.digits.captions import describe
from amad_study.data.digits.questions import ask
from amad_study.data.digits.scenes import DIGIT_SIZE, Scene, compose_scene
from amad_study.data.digits.translation import compose_sentence

SEED = 5
COUNT = 3
ASKED = ("place", "neighbour", "parity of a neighbour", "neighbour of a neighbour")
WIDTH = 50
OPEN_WORD = "[{}]"


def texts_about(scene: Scene, random: np.random.Generator) -> list[tuple[str, str]] | None:
    """Headings and texts, or none for a scene that has not all of them."""
    questions = [ask(scene, kind, random) for kind in ASKED]
    sentence = compose_sentence(scene, "side and noun", random)
    if sentence is None or None in questions:
        return None
    words = sentence.target.split()
    for slot in sentence.ambiguities:
        words[slot.place] = OPEN_WORD.format(words[slot.place])
    return [
        ("questions", "\n".join(f"{one.text}  {one.answer}" for one in questions if one)),
        ("caption", fill(describe(scene), WIDTH)),
        (
            "translation; only the scene tells the words in brackets",
            fill(sentence.source, WIDTH) + "\n" + fill(" ".join(words), WIDTH),
        ),
    ]


def draw_examples(path: Path) -> None:
    """Draw scenes of test digits that have a question of every kind asked, and a sentence."""
    random = np.random.default_rng(SEED)
    found: list[tuple[Scene, list[tuple[str, str]]]] = []
    while len(found) < COUNT:
        scene = compose_scene("test", random)
        texts = texts_about(scene, random)
        if texts is not None:
            found.append((scene, texts))
    figure = new_figure(12, 6.6)
    rows = figure.subplots(2, COUNT, height_ratios=[1.05, 1])
    for column, (scene, texts) in enumerate(found):
        picture, below = rows[0, column], rows[1, column]
        picture.imshow(scene.canvas, cmap="gray_r", vmin=0, vmax=1.2)
        for top, left in scene.corners:
            corner = (left - 0.5, top - 0.5)
            picture.add_patch(
                Rectangle(corner, DIGIT_SIZE, DIGIT_SIZE, fill=False, edgecolor="#D55E00")
            )
        picture.set_xticks([])
        picture.set_yticks([])
        below.axis("off")
        height = 1.0
        for heading, text in texts:
            below.text(0, height, heading, fontsize=9, weight="bold", va="top")
            below.text(0, height - 0.08, text, fontsize=8.5, va="top", family="monospace")
            height -= 0.075 * (2.7 + text.count("\n"))
    save_figure(figure, path)
