"""Projection: the learned map of a student head's cells (eq. 10), for the variant 'projected'."""

from typing import NamedTuple

import numpy as np

from amad_core.attention.inputs import BoolArray, FloatArray
from amad_core.attention.similarity import (
    l1_normalise,
    l1_normalise_gradient,
    scaled_to_peak,
    scaled_to_peak_gradient,
)


class ProjectionGradients(NamedTuple):
    """Derivatives with respect to the student heads, the weight and the bias."""

    student: FloatArray
    weight: FloatArray
    bias: FloatArray


def projected_heads(
    student: FloatArray, weight: FloatArray, bias: FloatArray, valid: BoolArray
) -> FloatArray:
    """Eq. 10: ``s̃_j = ReLU(W s_j/|s_j|_1 + b)``, 0 in masked cells.

    ``student`` ``[B, Hs, n]``, ``weight`` ``[n, n]``, ``bias`` ``[n]``, ``valid`` ``[B, Q, K]``.
    """
    affine = l1_normalise(scaled_to_peak(student)) @ weight.T + bias
    return np.where(_cells(valid), np.maximum(affine, 0.0), 0.0)


def projected_heads_gradient(
    student: FloatArray,
    weight: FloatArray,
    bias: FloatArray,
    valid: BoolArray,
    upstream: FloatArray,
) -> ProjectionGradients:
    """The chain rule through eq. 10, for the upstream gradient with respect to ``s̃``."""
    scaled = scaled_to_peak(student)
    unit = l1_normalise(scaled)
    active = _cells(valid) & (unit @ weight.T + bias > 0)
    affine = np.where(active, upstream, 0.0)
    by_scaled = l1_normalise_gradient(scaled, affine @ weight)
    return ProjectionGradients(
        student=scaled_to_peak_gradient(student, by_scaled),
        weight=np.einsum("bjk,bjl->kl", affine, unit),
        bias=np.sum(affine, axis=(0, 1)),
    )


def _cells(valid: BoolArray) -> BoolArray:
    return valid.reshape(valid.shape[0], 1, -1)
