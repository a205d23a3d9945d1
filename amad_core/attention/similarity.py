"""Similarity: unit vectors, and the cosine between every teacher and every student head.

Heads come ``scaled_to_peak``: their norms and products then neither overflow nor vanish, and the
formulas can be computed as they stand.
"""

import numpy as np

from amad_core.attention.inputs import FloatArray

LARGEST = np.finfo(np.float64).max


def l2_normalise(heads: FloatArray) -> FloatArray:
    """``v / |v|_2`` along the last axis (eq. 2, 4); 0 where the norm is 0 [D4]."""
    return heads / _l2_norm(heads)


def l1_normalise(heads: FloatArray) -> FloatArray:
    """``v / |v|_1`` of ``v >= 0`` along the last axis (eq. 9-12); 0 where the norm is 0 [D4]."""
    return heads / _l1_norm(heads)


def l2_normalise_gradient(heads: FloatArray, upstream: FloatArray) -> FloatArray:
    """``(g - <g, v̂> v̂) / |v|_2`` with ``v̂ = v / |v|_2``, for the upstream gradient ``g``."""
    unit = l2_normalise(heads)
    return (upstream - _inner(upstream, unit) * unit) / _l2_norm(heads)


def l1_normalise_gradient(heads: FloatArray, upstream: FloatArray) -> FloatArray:
    """``(g - <g, u> 1) / |v|_1`` with ``u = v / |v|_1``, for the upstream gradient ``g``."""
    return (upstream - _inner(upstream, l1_normalise(heads))) / _l1_norm(heads)


def cosine_similarity(teacher: FloatArray, student: FloatArray) -> FloatArray:
    """``c_ij = <t_i, s_j> / (|t_i|_2 |s_j|_2)``, in [0, 1]; 0 where a norm is 0 [D4].

    ``[..., Ht, n]`` and ``[..., Hs, n]`` to ``[..., Ht, Hs]``: the inner part of eq. 2.
    """
    return l2_normalise(teacher) @ np.swapaxes(l2_normalise(student), -1, -2)


def largest(heads: FloatArray) -> FloatArray:
    """The largest cell along the last axis, kept as an axis; 1 for a vector of zeros."""
    return _one_for_zero(np.max(heads, axis=-1, keepdims=True))


def scaled_to_peak(heads: FloatArray) -> FloatArray:
    """``v / largest(v)``, done once before all normalisations, none of which it changes.

    So the gradient, of the size of ``1/|v|``, is divided once, for the sum of what came through all
    normalisations. What is too large for the dtype gives its largest number [D10].
    """
    return heads / largest(heads)


def scaled_to_peak_gradient(heads: FloatArray, upstream: FloatArray) -> FloatArray:
    """``g / largest(v)`` for the upstream gradient ``g``; 0 where the norm is 0 [D4]."""
    empty = np.max(heads, axis=-1, keepdims=True) == 0
    return np.where(empty, 0.0, saturating_divide(upstream, largest(heads)))


def saturating_divide(values: FloatArray, divisor: FloatArray | float) -> FloatArray:
    """``values / divisor``; a finite value whose quotient overflows gives the largest float."""
    with np.errstate(over="ignore"):
        quotient = values / divisor
    return np.where(np.isfinite(values), np.clip(quotient, -LARGEST, LARGEST), quotient)


def _inner(left: FloatArray, right: FloatArray) -> FloatArray:
    return np.asarray(np.sum(left * right, axis=-1, keepdims=True))


def _l2_norm(heads: FloatArray) -> FloatArray:
    return _one_for_zero(np.sqrt(np.sum(heads**2, axis=-1, keepdims=True)))


def _l1_norm(heads: FloatArray) -> FloatArray:
    return _one_for_zero(np.sum(heads, axis=-1, keepdims=True))


def _one_for_zero(values: FloatArray) -> FloatArray:
    return np.where(values == 0, 1.0, values)
