"""The arguments that a variant needs besides the maps: a learned projection for ``projected``."""

from typing import Any

import numpy as np

from amad_core import VARIANTS
from amad_core.attention.inputs import FloatArray

ALL = tuple(VARIANTS)
WHOLE_MAP = ("mse", "kl", "js")
"""Variants that see a map as one vector and learn nothing: cells may be permuted."""

UNPROJECTED = tuple(variant for variant in ALL if variant != "projected")


def projection(cells: int, *, seed: int = 0, positive: bool = False) -> dict[str, FloatArray]:
    """A dense asymmetric ``weight`` and a ``bias``; ``positive`` keeps the ReLU open."""
    generator = np.random.default_rng([seed, cells])
    weight = generator.standard_normal((cells, cells)) / np.sqrt(cells)
    bias = generator.uniform(0.05, 0.25, cells)
    return {"weight": np.abs(weight) if positive else weight, "bias": bias}


def arguments(variant: str, maps: FloatArray, **options: Any) -> dict[str, Any]:
    """Keywords for ``variant`` on maps of this shape.

    ReLU makes exact zeros, so ``projected`` gets a floor as training does.
    """
    if variant != "projected":
        return {"variant": variant, **options}
    cells = maps.shape[2] * maps.shape[3]
    return {"variant": variant, "eps": 1e-6, **projection(cells), **options}
