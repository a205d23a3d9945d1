"""easy-VQA: questions about coloured shapes, as the package `easy-vqa` installs it."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from amad_study.data.example import Example, Task
from amad_study.data.public.building import Found, build_task
from amad_study.data.public.choosing import held_out
from amad_study.data.scores.answers import score_answers
from amad_study.data.sizes import Sizes
from amad_study.data.words import split_words

_SIZE, _PATCH = 64, 16
COLOUR_OR_SHAPE = "accuracy: colour or shape"
"""The main score: yes or no is mostly right without a look."""

_SHAPES = ("circle", "rectangle", "triangle")


def easy_vqa(sizes: Sizes, seed: int) -> Task:
    """Its test questions are the test split; one training picture in ten is for validation.

    Raises:
        ValueError: more examples asked for than there are.
    """
    import easy_vqa as package

    training = _examples(training=True)
    paths = _paths(package.get_train_image_paths())
    found: dict[str, Found] = {
        "train": ([one for one in training if not held_out(one.picture)], paths),
        "validation": ([one for one in training if held_out(one.picture)], paths),
        "test": (
            _examples(training=False), _paths(package.get_test_image_paths())
        ),
    }  # fmt: skip
    return build_task(
        "easy-vqa", found, sizes=sizes, seed=seed, score=_score, main_score=COLOUR_OR_SHAPE,
        size=_SIZE, patch=_PATCH,
    )  # fmt: skip


def _score(examples: Sequence[Example], said: Sequence[str]) -> dict[str, float]:
    """The scores of answers, and that of questions which are not for yes or no; 0 without any."""
    asked = [row for row, one in enumerate(examples) if one.kind in ("colour", "shape")]
    scores = score_answers(examples, said)
    right = 0.0
    if asked:
        chosen = [examples[row] for row in asked], [said[row] for row in asked]
        right = score_answers(*chosen)["accuracy"]
    return {**scores, COLOUR_OR_SHAPE: right}


@cache
def _examples(training: bool) -> tuple[Example, ...]:
    import easy_vqa as package

    read = package.get_train_questions if training else package.get_test_questions
    texts, answers, pictures = read()
    return tuple(
        Example(str(picture), " ".join(split_words(text)), answer, (answer,), _kind(answer))
        for text, answer, picture in zip(texts, answers, pictures, strict=True)
    )


def _kind(answer: str) -> str:
    if answer in ("yes", "no"):
        return "yes or no"
    return "shape" if answer in _SHAPES else "colour"


def _paths(paths: dict[int, str]) -> dict[str, Path]:
    return {str(picture): Path(path) for picture, path in paths.items()}
