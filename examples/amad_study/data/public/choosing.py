"""Which examples of a published data set a task has."""

from collections.abc import Sequence
from zlib import crc32

import numpy as np

from amad_study.data.example import Example

_ONE_IN = 10


def held_out(picture: str) -> bool:
    """Whether a training picture is for validation: one in ten, the same ones everywhere."""
    return crc32(picture.encode()) % _ONE_IN == 0


def choose(
    examples: Sequence[Example], count: int | None, random: np.random.Generator, name: str
) -> tuple[Example, ...]:
    """Draw `count` examples, or put all of them into a drawn order; fewer are the first of more.

    Raises:
        ValueError: there are not as many, or none.
    """
    if not examples or (count or 0) > len(examples):
        raise ValueError(
            f"{name} asks for {count or 'all'} examples, but the files hold {len(examples)}; ask "
            "for fewer, or check that the files are complete"
        )
    order = random.permutation(len(examples))[:count]
    return tuple(examples[index] for index in order)
