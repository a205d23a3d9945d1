"""Multimodal pre-training: does a text belong to a picture, and which words are missing in it.

Put as text in, text out, as VL-T5 does, so that both families can; on scenes beyond those of the
task. BLIP for captions, which has no text to read, takes over its vision model and its decoder.
"""

from dataclasses import replace

import numpy as np
from torch import nn

from amad_study.data.catalogue import load_task
from amad_study.data.example import Example, Split
from amad_study.data.sizes import Sizes
from amad_study.models.size import ModelSize
from amad_study.models.training import TrainingSettings, train
from amad_study.models.vocabulary import NO, YES
from amad_study.models.workbench import Workbench

MASKED_SHARE = 0.2
"""How many words of a text are taken out."""

_SEED_OF_SCENES = 1_000_003
"""Added to the seed, so that scenes are others than those of the tasks."""


def pretraining_split(count: int, seed: int) -> Split:
    """Captions of training digits as examples: half are to be matched, half to be completed.

    Of those to be matched, every other one comes with the picture of the next scene.

    Raises:
        ValueError: fewer than 4 examples.
    """
    if count < 4:
        raise ValueError(f"count is {count}, expected at least 4, one of each sort")
    sizes = Sizes(train=count, validation=1, test=1)
    scenes = load_task("digit-captions", seed=seed + _SEED_OF_SCENES, sizes=sizes).train
    random = np.random.default_rng([seed, _SEED_OF_SCENES])
    examples: list[Example] = []
    for number, example in enumerate(scenes.examples):
        if number % 2:
            examples.append(masked(example, random))
            continue
        belongs = number % 4 == 0
        shown = example if belongs else scenes.examples[number - 1]
        answer = YES if belongs else NO
        examples.append(
            replace(example, picture=shown.picture, source=example.target, target=answer)
        )
    return Split(tuple(examples), scenes.pictures)


def masked(example: Example, random: np.random.Generator) -> Example:
    """A caption with words taken out, which are to be said in their order."""
    words = example.target.split()
    taken = max(1, round(MASKED_SHARE * len(words)))
    places = sorted(random.choice(len(words), size=taken, replace=False).tolist())
    missing = " ".join(words[place] for place in places)
    left = " ".join("<mask>" if place in places else word for place, word in enumerate(words))
    return replace(example, source=left, target=missing)


def pretrained_model(
    bench: Workbench, size: ModelSize, settings: TrainingSettings, *, scenes: int, seed: int
) -> nn.Module:
    """A model for the bench's task that has seen other scenes with captions before.

    Raises:
        ValueError: a task whose pictures are no scenes.
    """
    if not bench.makes_scenes:
        raise ValueError(
            f"task is {bench.task.name!r}, but pre-training is on scenes of digits: leave it out"
        )
    split = pretraining_split(scenes, seed)
    reader = bench.new_model(size, seed, reads_text=True)
    train(reader, bench.encode(split, split.examples), settings, seed=seed)
    model = bench.new_model(size, seed)
    learned = reader.state_dict()
    model.load_state_dict({name: learned[name] for name in model.state_dict()})
    return model
