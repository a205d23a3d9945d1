"""The three tasks over scenes, drawn from a seed."""

from collections.abc import Callable, Sequence

import numpy as np

from amad_study.data.digits import captions, questions, translation
from amad_study.data.digits.drawing import pick
from amad_study.data.digits.scenes import DIGIT_SIZE, Scene, compose_scene
from amad_study.data.digits.scenes import Split as SplitName
from amad_study.data.example import Example, ScoreFunction, Split, Task
from amad_study.data.picture import Picture
from amad_study.data.scores.answers import score_answers
from amad_study.data.scores.bleu import bleu
from amad_study.data.scores.texts import ambiguous_word_accuracy
from amad_study.data.sizes import Sizes

DEFAULT_SIZES = Sizes(train=12_000, validation=1_000, test=2_000)

_SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")

Maker = Callable[[Scene, str, np.random.Generator, str], Example | None]
"""Makes an example of a kind from a scene, if it can: scene, kind, random, the picture's name."""


def digit_questions(sizes: Sizes, seed: int) -> Task:
    """Questions of one, two and three steps, a third each; a third of each is yes or no."""
    digit = [kind for kind in questions.STEPS if kind not in questions.YES_NO]
    kinds = (*digit, *digit, *questions.YES_NO)
    return _task(
        "digit-questions", sizes, seed, kinds, _question, questions.WORDS, score_answers, "accuracy"
    )


def digit_captions(sizes: Sizes, seed: int) -> Task:
    """Several sentences about each scene."""
    return _task(
        "digit-captions",
        sizes,
        seed,
        ("",),
        _caption,
        captions.WORDS,
        captions.score_captions,
        "fact F1",
    )


def digit_translation(sizes: Sizes, seed: int) -> Task:
    """A sentence about each scene, to be put into another language."""
    return _task(
        "digit-translation",
        sizes,
        seed,
        translation.KINDS,
        _sentence,
        translation.WORDS,
        score_translations,
        "ambiguous words",
    )


def score_translations(examples: Sequence[Example], predictions: Sequence[str]) -> dict[str, float]:
    """BLEU, and the words that only the scene decides."""
    return {
        "BLEU": bleu(predictions, [example.references for example in examples]),
        "ambiguous words": ambiguous_word_accuracy(predictions, examples),
    }


def _task(
    name: str,
    sizes: Sizes,
    seed: int,
    kinds: Sequence[str],
    make: Maker,
    words: tuple[str, ...],
    score: ScoreFunction,
    main_score: str,
) -> Task:
    counts = [getattr(sizes, split) or getattr(DEFAULT_SIZES, split) for split in _SPLITS]
    train, validation, test = (
        _draw(split, count, np.random.default_rng([seed, number]), kinds, make)
        for number, (split, count) in enumerate(zip(_SPLITS, counts, strict=True))
    )
    return Task(name, train, validation, test, words, score, main_score)


def _draw(
    split: SplitName, count: int, random: np.random.Generator, kinds: Sequence[str], make: Maker
) -> Split:
    examples: list[Example] = []
    pictures: dict[str, Picture] = {}
    while len(examples) < count:
        kind, name, example = pick(kinds, random), f"{split}-{len(examples)}", None
        while example is None:  # not every scene has what such a question is about
            scene = compose_scene(split, random)
            example = make(scene, kind, random, name)
        examples.append(example)
        pictures[name] = picture_of(scene)
    return Split(tuple(examples), pictures)


def picture_of(scene: Scene) -> Picture:
    """A scene as a picture; its regions are the boxes of the digits."""
    corners = np.array(scene.corners)
    return Picture(scene.canvas[:, :, None], np.hstack([corners, corners + DIGIT_SIZE]))


def _question(scene: Scene, kind: str, random: np.random.Generator, picture: str) -> Example | None:
    question = questions.ask(scene, kind, random)
    if question is None:
        return None
    return Example(
        picture=picture,
        source=question.text,
        target=question.answer,
        references=(question.answer,),
        kind=kind,
        steps=questions.STEPS[kind],
    )


def _caption(scene: Scene, kind: str, random: np.random.Generator, picture: str) -> Example:
    caption = captions.describe(scene)
    facts = captions.true_facts(scene)
    return Example(picture, captions.PROMPT, caption, (caption,), kind, facts=facts)


def _sentence(scene: Scene, kind: str, random: np.random.Generator, picture: str) -> Example | None:
    sentence = translation.compose_sentence(scene, kind, random)
    if sentence is None:
        return None
    return Example(
        picture=picture,
        source=sentence.source,
        target=sentence.target,
        references=(sentence.target,),
        kind=kind,
        ambiguities=sentence.ambiguities,
    )
