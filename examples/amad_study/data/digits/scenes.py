"""Scenes: a few real handwritten digits laid out on a canvas.

The digits are scikit-learn's `load_digits` (8 x 8 pixels, scanned from forms). They are split by
image, so that no digit of a test scene was ever part of a training scene.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Split = Literal["train", "validation", "test"]

DIGIT_SIZE = 8
CELL_SIZE = 10
GRID = 3
CANVAS_SIZE = GRID * CELL_SIZE
FEWEST_DIGITS = 3
MOST_DIGITS = 6
_SPLIT_SEED = 20240220
_SPLIT_BOUNDS = {"train": (0, 1200), "validation": (1200, 1400), "test": (1400, 1797)}


@dataclass(frozen=True)
class DigitImages:
    """The handwritten digits of one split.

    Attributes:
        pixels: brightness in [0, 1], `[N, 8, 8]`.
        labels: which digit each image shows, `[N]`.
        numbers: where each image stands in `load_digits`, `[N]`.
    """

    pixels: NDArray[np.float32]
    labels: NDArray[np.int64]
    numbers: NDArray[np.int64]


@dataclass(frozen=True)
class Scene:
    """A canvas with digits, no digit twice, at most one in each of the 3 x 3 cells.

    Attributes:
        canvas: brightness in [0, 1], `[30, 30]`.
        cells: the (row, column) of each digit, in no particular order.
        labels: which digit stands there, in the same order.
        corners: the top left pixel (row, column) of each digit's 8 x 8 box, same order.
        numbers: where each digit's image stands in `load_digits`, same order.
    """

    canvas: NDArray[np.float32]
    cells: tuple[tuple[int, int], ...]
    labels: tuple[int, ...]
    corners: tuple[tuple[int, int], ...]
    numbers: tuple[int, ...]


@cache
def load_digits(split: Split) -> DigitImages:
    """Load one split of scikit-learn's handwritten digits (nothing is downloaded).

    Raises:
        ValueError: unknown split.
    """
    from sklearn import datasets

    if split not in _SPLIT_BOUNDS:
        raise ValueError(f"split is {split!r}, expected one of {sorted(_SPLIT_BOUNDS)}")
    bunch = datasets.load_digits()
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(bunch.target))
    first, last = _SPLIT_BOUNDS[split]
    numbers = order[first:last]
    pixels = (bunch.images[numbers] / 16.0).astype(np.float32)
    return DigitImages(pixels, bunch.target[numbers].astype(np.int64), numbers)


@cache
def _images_by_label(split: Split) -> tuple[NDArray[np.int64], ...]:
    labels = load_digits(split).labels
    return tuple(np.flatnonzero(labels == digit) for digit in range(10))


def compose_scene(split: Split, random: np.random.Generator) -> Scene:
    """Draw a scene: which digits, which of their images, which cells, and a little jitter."""
    count = int(random.integers(FEWEST_DIGITS, MOST_DIGITS + 1))
    labels = tuple(int(label) for label in random.permutation(10)[:count])
    cells = [divmod(int(cell), GRID) for cell in random.permutation(GRID * GRID)[:count]]
    jitter = random.integers(0, CELL_SIZE - DIGIT_SIZE + 1, size=(count, 2))
    corners = [
        (row * CELL_SIZE + int(down), column * CELL_SIZE + int(right))
        for (row, column), (down, right) in zip(cells, jitter, strict=True)
    ]
    digits, images = load_digits(split), _images_by_label(split)
    choices = [int(images[label][random.integers(len(images[label]))]) for label in labels]
    canvas = _paint([digits.pixels[choice] for choice in choices], corners)
    numbers = tuple(int(digits.numbers[choice]) for choice in choices)
    return Scene(canvas, tuple(cells), labels, tuple(corners), numbers)


def _paint(
    images: Sequence[NDArray[np.float32]], corners: Sequence[tuple[int, int]]
) -> NDArray[np.float32]:
    canvas = np.zeros((CANVAS_SIZE, CANVAS_SIZE), dtype=np.float32)
    for image, (top, left) in zip(images, corners, strict=True):
        canvas[top : top + DIGIT_SIZE, left : left + DIGIT_SIZE] = image
    return canvas
