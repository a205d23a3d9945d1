"""Weights and biases of the variant 'projected' that show mistakes and keep the loss finite."""

import numpy as np

from amad_core.attention.inputs import FloatArray, broadcast_mask, whole_maps
from amad_core.attention.similarity import l1_normalise, scaled_to_peak
from amad_core.conformance.inputs.case import Case


def positive_projection(case: Case, seed: int, cut: bool) -> tuple[FloatArray, FloatArray]:
    """``W`` ``[n, n]`` and ``b`` ``[n]`` for one case, reproducible from the seed.

    ``W`` is far from symmetric and of both signs. With ``cut``, ReLU cuts cells of single heads,
    never those of the mean head: the exact KL divergence stays finite, and so does that of a port
    without ReLU. Without ``cut`` every cell of every head is positive, also under a wrong mask, so
    that a port that picks single heads stays finite. No cell is near the kink of ReLU. Both are
    exact in bfloat16.
    """
    _, _, queries, keys = case.student.shape
    cells = queries * keys
    rng = np.random.default_rng([seed, queries, keys])
    weight = np.clip(np.round(16 * 1.5 * rng.normal(size=(cells, cells))), -127, 127) / 16
    valid = broadcast_mask(case.mask, case.teacher.shape)[:, np.newaxis]
    masks = (valid,) if cut else (valid, ~valid, np.ones_like(valid))
    heads = [scaled_to_peak(whole_maps(np.where(mask, case.student, 0.0))) for mask in masks]
    affines = [l1_normalise(scaled) @ weight.T for scaled in heads]
    affine = np.concatenate(affines, axis=1)
    lowest = np.min(np.mean(affine, axis=1) if cut else np.min(affine, axis=1), axis=0)
    bias = np.ceil(64 * (0.06 - lowest + 0.1 * rng.random(cells))) / 64
    return weight, np.asarray(_away_from_kink(affine, bias))


def _away_from_kink(affine: FloatArray, bias: FloatArray) -> FloatArray:
    for _ in range(40):
        near = np.min(np.abs(affine + bias), axis=(0, 1)) < 1e-3
        if not near.any():
            break
        bias = np.where(near, bias + 1 / 64, bias)
    return bias
