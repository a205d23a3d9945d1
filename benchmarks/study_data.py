"""Measures what the study's data is made of, and what can be answered without looking.

Run as ``python -m benchmarks.study_data`` (a minute on one core): writes
``benchmarks/results/study_data.json``, whose figures the page on the study's data quotes, and the
page's picture, ``docs/assets/study-examples.png``.
"""

import json
import platform
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from amad_core.files import write_atomically
from amad_study.data import Example, Sizes, Split, Task, load_task
from amad_study.data.chance import text_only_answers, text_only_translations
from amad_study.data.digits.scenes import load_digits
from benchmarks.study_picture import draw_examples

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "study_data.json"
PICTURE = ROOT / "docs" / "assets" / "study-examples.png"

SEED = 0
SIZES = Sizes(train=12_000, validation=1_000, test=6_000)
LIBRARIES = ("numpy", "scikit-learn", "sacrebleu", "easy-vqa")


def learned_guesses(
    texts: Sequence[str], answers: Sequence[str], asked: Sequence[str]
) -> Sequence[str]:
    """What logistic regression on the words, and pairs of neighbouring words, of a text says."""
    words = CountVectorizer(ngram_range=(1, 2), token_pattern=r"\S+")
    model = make_pipeline(words, LogisticRegression(max_iter=200))
    guesses: Sequence[str] = model.fit(texts, answers).predict(asked)
    return guesses


def measure_answers(task: Task) -> dict[str, dict[str, float]]:
    """Scores of the most frequent answer to the same text, and of a learned guess."""
    train, test = task.train.examples, task.test.examples
    learned = learned_guesses(
        [one.source for one in train], [one.target for one in train], [one.source for one in test]
    )
    return {
        "most frequent answer": rounded(task.score(test, text_only_answers(train, test))),
        "learned from words": rounded(task.score(test, list(learned))),
    }


def guess_among_digits_shown(split: Split) -> dict[str, float]:
    """How often one is right who knows which digits are there, and not where."""
    chances: dict[str, list[float]] = {}
    for example in split.examples:
        if example.target.isdigit():
            others = len(split.picture(example).boxes) - sum(map(str.isdigit, example.source))
            chances.setdefault(example.kind, []).append(100 / others)
    return rounded({kind: float(np.mean(values)) for kind, values in chances.items()})


def open_words(examples: Sequence[Example]) -> dict[int, tuple[list[str], list[str]]]:
    """Sources and right words, by how many choices there are; the place is said with the source."""
    found: dict[int, tuple[list[str], list[str]]] = {}
    for example in examples:
        for slot in example.ambiguities:
            texts, words = found.setdefault(len(slot.choices), ([], []))
            texts.append(f"{example.source} place-{slot.place}")
            words.append(example.target.split()[slot.place])
    return found


def measure_translation(task: Task) -> dict[str, dict[str, float]]:
    """All but the open words right, and those guessed from the text."""
    train, test = task.train.examples, task.test.examples
    guessed = text_only_translations(train, test)
    scores = task.score(test, guessed)
    names = {2: "sides", 5: "nouns"}
    known, asked = open_words(train), open_words(test)
    as_guessed = open_words(
        [
            Example("", one.source, said, (said,), ambiguities=one.ambiguities)
            for one, said in zip(test, guessed, strict=True)
        ]
    )
    learned = {}
    for choices, (texts, words) in asked.items():
        right = np.array(words)
        scores[names[choices]] = 100 * float(np.mean(right == as_guessed[choices][1]))
        guesses = learned_guesses(*known[choices], texts)
        learned[names[choices]] = 100 * float(np.mean(right == guesses))
    return {"most frequent word": rounded(scores), "learned from words": rounded(learned)}


def measure_captions(task: Task) -> dict[str, dict[str, float]]:
    """One caption for every scene, and each scene's caption told of the next one."""
    test = task.test.examples
    others = [example.target for example in test]
    return {
        "most frequent caption": rounded(
            task.score(test, text_only_answers(task.train.examples, test))
        ),
        "caption of another scene": rounded(task.score(test, [*others[1:], others[0]])),
    }


def composition(task: Task) -> dict[str, object]:
    """Numbers of examples, lengths in words, and shares in percent."""
    train, test = task.train.examples, task.test.examples
    both = (*train, *test)
    seen, kinds = {one.source for one in train}, {one.kind for one in train}
    return {
        "examples": [len(split) for split in (task.train, task.validation, task.test)],
        "words": len(task.words),
        "longest source": max(len(one.source.split()) for one in both),
        "longest target": max(len(one.target.split()) for one in both),
        "different sources": len(seen),
        "test sources that training has": percent([one.source in seen for one in test]),
        "kinds": {kind: percent([one.kind == kind for one in train]) for kind in sorted(kinds)},
    }


def digits_in_scenes(task: Task) -> dict[str, float]:
    """How many scenes have three, four, five and six digits, in percent."""
    counts = [len(picture.boxes) for picture in task.train.pictures.values()]
    return {str(number): percent([one == number for one in counts]) for number in range(3, 7)}


def equal_pictures(one: Split, other: Split) -> int:
    """Pictures of the second split that the first has too, pixel by pixel."""
    seen = {picture.pixels.tobytes() for picture in one.pictures.values()}
    return sum(picture.pixels.tobytes() in seen for picture in other.pictures.values())


def percent(hits: Sequence[bool]) -> float:
    return round(100 * float(np.mean(hits)), 1)


def rounded(scores: dict[str, float]) -> dict[str, float]:
    return {name: round(score, 1) for name, score in scores.items()}


def measure() -> dict[str, object]:
    questions = load_task("digit-questions", seed=SEED, sizes=SIZES)
    captions = load_task("digit-captions", seed=SEED, sizes=SIZES)
    translation = load_task("digit-translation", seed=SEED, sizes=SIZES)
    easy = load_task("easy-vqa", seed=SEED)
    tasks = (questions, captions, translation, easy)
    splits = ("train", "validation", "test")
    return {
        "date": date.today().isoformat(),
        "versions": {
            "python": platform.python_version(), **{name: version(name) for name in LIBRARIES}
        },
        "seed": SEED,
        "digits": {
            split: [int(count) for count in np.bincount(load_digits(split).labels)]
            for split in splits
        },
        "composition": {task.name: composition(task) for task in tasks},
        "digits in a scene": {task.name: digits_in_scenes(task) for task in tasks[:3]},
        "digit-questions": {
            **measure_answers(questions), "digits shown": guess_among_digits_shown(questions.test)
        },
        "digit-captions": measure_captions(captions),
        "digit-translation": measure_translation(translation),
        "easy-vqa": {
            **measure_answers(easy),
            "equal pictures": {
                "train and test": equal_pictures(easy.train, easy.test),
                "train and validation": equal_pictures(easy.train, easy.validation),
            },
        },
    }  # fmt: skip


if __name__ == "__main__":
    write_atomically(RESULTS, json.dumps(measure(), indent=1) + "\n")
    draw_examples(PICTURE)
