"""From the examples of published files to a task."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from amad_study.data.example import Example, ScoreFunction, Split, Task
from amad_study.data.public.choosing import choose
from amad_study.data.public.pictures import PictureFiles
from amad_study.data.sizes import Sizes
from amad_study.data.words import known_words

PHOTO_SIZE, PHOTO_PATCH = 224, 32
"""Photographs are scaled to this; 49 regions."""

Found = tuple[Sequence[Example], Mapping[str, Path]]
"""The examples that the files hold for a split, and where their pictures are."""


def build_task(
    name: str,
    found: Mapping[str, Found],
    *,
    sizes: Sizes,
    seed: int,
    score: ScoreFunction,
    main_score: str,
    size: int = PHOTO_SIZE,
    patch: int = PHOTO_PATCH,
) -> Task:
    """Choose among the examples of `found["train"]`, `["validation"]` and `["test"]`.

    Raises:
        ValueError: fewer examples than asked for.
        FileNotFoundError: pictures of chosen examples are missing.
    """
    splits = {}
    for number, (split, (examples, paths)) in enumerate(found.items()):
        random = np.random.default_rng([seed, number])
        chosen = choose(examples, getattr(sizes, split), random, split)
        used = {example.picture: paths[example.picture] for example in chosen}
        splits[split] = Split(chosen, PictureFiles(used, size=size, patch=patch))
    train = splits["train"].examples
    words = known_words(text for example in train for text in (example.source, example.target))
    return Task(name, **splits, words=words, score=score, main_score=main_score)
