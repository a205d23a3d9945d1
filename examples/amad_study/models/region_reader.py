"""What a region shows, as numbers: of a frozen reader of digits, or its pixels as they are."""

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

from amad_study.data.picture import Picture
from amad_study.models.digit_reader import FEATURES, RegionReader, train_region_reader

_READER_SEED = 0


@cache
def _digit_reader() -> RegionReader:
    with torch.random.fork_rng():
        return train_region_reader(_READER_SEED)


def region_features(pictures: Sequence[Picture], *, digits: bool) -> list[Tensor]:
    """Features of every picture's regions, `[R, features]` each.

    Args:
        pictures: with regions of one size.
        digits: whether the regions are the digits of scenes: then a small network that was trained
            to name single digits of the training split reads them, the same for all models, as
            VL-T5 has a detector read its regions. Else the pixels are the features.
    """
    read: Callable[[Tensor], Tensor] = _digit_reader() if digits else torch.nn.Identity()
    return [read(torch.from_numpy(picture.crops()).flatten(1)) for picture in pictures]


def feature_count(picture: Picture, *, digits: bool) -> int:
    """How many numbers `region_features` gives for a region."""
    if digits:
        return FEATURES
    return int(picture.crops()[0].size)


def is_of_digits(task: str) -> bool:
    """Whether a task's regions are handwritten digits, as the reader knows them."""
    return task.startswith("digit-")
