"""A scene looked at without the study's own logic: pixel positions, and scikit-learn's labels."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from sklearn import datasets

from amad_study.data.digits.scenes import Scene, compose_scene

CELL = 10
PLACES = [
    f"{row} {column}"
    for row in ("top", "middle", "bottom")
    for column in ("left", "centre", "right")
]
NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@cache
def labels() -> list[int]:
    return [int(label) for label in datasets.load_digits().target]


@dataclass(frozen=True)
class Seen:
    """Which digit stands in which column and row, counted from the left and from the top."""

    at: dict[tuple[int, int], int]

    def place(self, name: str) -> int:
        down, right = divmod(PLACES.index(name), 3)
        return self.at[right, down]

    def next_to(self, digit: int, direction: str) -> int | None:
        """Walks pixel by pixel, as it were: the nearest on the same line, on that side."""
        ((x, y),) = [spot for spot, label in self.at.items() if label == digit]
        side = {
            "left of": [(x - there, label) for (there, row), label in self.at.items() if row == y],
            "right of": [(there - x, label) for (there, row), label in self.at.items() if row == y],
            "above": [(y - there, label) for (line, there), label in self.at.items() if line == x],
            "under": [(there - y, label) for (line, there), label in self.at.items() if line == x],
        }[direction]
        ahead = sorted((distance, label) for distance, label in side if distance > 0)
        return ahead[0][1] if ahead else None


def look_at(scene: Scene) -> Seen:
    spots = zip(scene.corners, scene.numbers, strict=True)
    return Seen({(left // CELL, top // CELL): labels()[number] for (top, left), number in spots})


def some_scene(seed: int) -> tuple[Scene, np.random.Generator]:
    random = np.random.default_rng(seed)
    return compose_scene("test", random), random
