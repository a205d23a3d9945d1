"""A task made ready for a family of models: its data as tensors, new models, what they say."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

import torch
from torch import nn

from amad_study.data.chance import with_pictures_of_others
from amad_study.data.digits import captions
from amad_study.data.example import Example, Split, Task
from amad_study.data.picture import Picture
from amad_study.models.batches import Batch, count, encode_examples, rows, without_reading_as_image
from amad_study.models.blip import Blip
from amad_study.models.region_reader import feature_count, is_of_digits
from amad_study.models.size import ModelSize
from amad_study.models.vl_t5 import VLT5
from amad_study.models.vocabulary import Vocabulary

FAMILIES = ("vl-t5", "blip")
_PATCHES_A_SIDE = {30: 3, 64: 4, 224: 14}
_AT_ONCE = 256


@dataclass(eq=False)
class Workbench:
    """What is needed to train and judge models of one family on one task.

    Attributes:
        task: examples and score.
        family: one of `FAMILIES`.
        vocabulary: every word of the task, and of captions where pre-training is of scenes.

    Raises:
        ValueError: an unknown family; pictures of a size that nobody chose patches for.
    """

    task: Task
    family: str
    vocabulary: Vocabulary = field(init=False)

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(f"family is {self.family!r}, expected one of {', '.join(FAMILIES)}")
        further = captions.WORDS if self._digits else ()
        self.vocabulary = Vocabulary.of(self.task.words, further)
        side = self._some_picture.pixels.shape[0]
        if self.family == "blip" and side not in _PATCHES_A_SIDE:
            raise ValueError(
                f"task has pictures of {side} pixels, but patches are chosen for "
                f"{', '.join(map(str, _PATCHES_A_SIDE))} only"
            )

    @cached_property
    def train(self) -> Batch:
        """All training examples as tensors."""
        return self.encode(self.task.train, self.task.train.examples)

    @property
    def _digits(self) -> bool:
        return is_of_digits(self.task.name)

    @property
    def _some_picture(self) -> Picture:
        return self.task.train.picture(self.task.train.examples[0])

    @property
    def makes_scenes(self) -> bool:
        """Whether the pictures are scenes of digits, of which there are as many as one wants."""
        return self._digits

    def encode(self, split: Split, examples: Sequence[Example]) -> Batch:
        """Examples about a split's pictures as tensors."""
        encoded = encode_examples(
            split,
            examples,
            family=self.family,
            vocabulary=self.vocabulary,
            digits=self._digits,
        )
        if self.family == "blip":
            patches = _PATCHES_A_SIDE[self._some_picture.pixels.shape[0]]
            encoded = without_reading_as_image(encoded, patches**2 + 1)
        return encoded

    def new_model(self, size: ModelSize, seed: int, *, reads_text: bool = False) -> nn.Module:
        """An untrained model; the same for the same size and seed.

        With `reads_text` BLIP reads a text also for captions, which do without.
        """
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            if self.family == "vl-t5":
                features = feature_count(self._some_picture, digits=self._digits)
                return VLT5(size, words=len(self.vocabulary), features=features)
            side = self._some_picture.pixels.shape[0]
            return Blip(
                size,
                words=len(self.vocabulary),
                image_size=side,
                patch_size=side // _PATCHES_A_SIDE[side],
                reads_text=reads_text or not self.task.name.endswith("captions"),
                of_digits=self._digits,
            )

    def say(self, model: nn.Module, split: Split, examples: Sequence[Example]) -> list[str]:
        """What a model says to each example."""
        data = self.encode(split, examples)
        longest = data.pop("labels").shape[1] + 4
        speaker = cast(VLT5, model)
        said: list[str] = []
        was_training = model.training
        model.eval()
        for first in range(0, len(examples), _AT_ONCE):
            part = rows(data, slice(first, first + _AT_ONCE))
            numbers = speaker.say(**part, longest=longest)
            said += [self.vocabulary.decode(row) for row in numbers.tolist()]
        model.train(was_training)
        return said

    def scores(self, model: nn.Module, split: Split, limit: int | None = None) -> dict[str, float]:
        """The task's scores of a model on the first `limit` examples of a split, in percent."""
        examples = split.examples[:limit]
        return self.task.score(examples, self.say(model, split, examples))

    def scores_with_other_pictures(
        self, model: nn.Module, split: Split, limit: int | None = None
    ) -> dict[str, float]:
        """The same with each text about the next example's picture, judged by the right one."""
        examples = split.examples[:limit]
        said = self.say(model, split, with_pictures_of_others(examples))
        return self.task.score(examples, said)


def share_of_words_right(model: nn.Module, data: Batch) -> float:
    """How many words are the likeliest next ones, given those before; in percent, in one pass."""
    with torch.no_grad():
        right = counted = 0
        for first in range(0, count(data), _AT_ONCE):
            part = rows(data, slice(first, first + _AT_ONCE))
            counts = part["labels"] >= 0
            right += int((model(**part)["logits"].argmax(-1) == part["labels"])[counts].sum())
            counted += int(counts.sum())
    return 100.0 * right / counted
