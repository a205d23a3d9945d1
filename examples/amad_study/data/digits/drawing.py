"""Drawing one of several."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def pick(choices: Sequence[T], random: np.random.Generator) -> T:
    """One of the choices, each as likely as the others."""
    return choices[int(random.integers(len(choices)))]
