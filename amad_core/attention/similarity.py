"""Similarity: unit vectors, and the cosine between every teacher and every student head."""

import numpy as np

from amad_core.attention.inputs import FloatArray


def l2_normalise(heads: FloatArray) -> FloatArray:
    """``v / |v|_2`` along the last axis; 0 where the norm is 0 [D]."""
    scaled = heads / largest(heads)
    return scaled / _l2_norm(scaled)


def l1_normalise(heads: FloatArray) -> FloatArray:
    """``v / |v|_1`` along the last axis, for non-negative ``v``; 0 where the norm is 0 [D]."""
    scaled = heads / largest(heads)
    return scaled / _l1_norm(scaled)


def cosine_similarity(teacher: FloatArray, student: FloatArray) -> FloatArray:
    """``c_ij = <t_i, s_j> / (|t_i|_2 |s_j|_2)``, in [0, 1]; 0 where a norm is 0 [D].

    ``[..., Ht, n]`` and ``[..., Hs, n]`` to ``[..., Ht, Hs]``: the inner part of eq. 2.
    """
    return l2_normalise(teacher) @ np.swapaxes(l2_normalise(student), -1, -2)


def l2_normalise_gradient(heads: FloatArray, upstream: FloatArray, along: FloatArray) -> FloatArray:
    """``(I - v̂ v̂ᵀ) g / |v|_2`` for the upstream gradient ``g``, times ``largest(v)``.

    ``along`` is ``<g, v̂>``, the last axis kept; the caller has it already. See ``unscaled``.
    """
    tangent = upstream - l2_normalise(heads) * along
    return tangent / _l2_norm(heads / largest(heads))


def l1_normalise_gradient(heads: FloatArray, upstream: FloatArray, along: FloatArray) -> FloatArray:
    """``(g - <g, v/|v|_1> 1) / |v|_1`` for the upstream gradient ``g``, times ``largest(v)``.

    ``along`` is ``<g, v/|v|_1>``, the last axis kept; the caller has it already. See
    ``unscaled``.
    """
    return (upstream - along) / _l1_norm(heads / largest(heads))


def unscaled(heads: FloatArray, gradient: FloatArray) -> FloatArray:
    """A gradient times ``largest(v)`` as the gradient itself; 0 where the norm is 0 [D].

    Applied once, after the gradients of both norms are added: each may overflow where their sum
    does not.
    """
    empty = np.max(heads, axis=-1, keepdims=True) == 0
    return np.where(empty, 0.0, saturating_divide(gradient, largest(heads)))


def largest(heads: FloatArray) -> FloatArray:
    """The largest cell along the last axis, kept as an axis; 1 for a vector of zeros.

    Dividing by it first keeps the squares of huge and tiny maps within the range of a float; it
    changes no normalised vector.
    """
    return _one_for_zero(np.max(heads, axis=-1, keepdims=True))


def saturating_divide(values: FloatArray, divisor: FloatArray) -> FloatArray:
    """``values / divisor``; a finite value whose quotient overflows gives the largest float."""
    most = np.finfo(np.float64).max
    with np.errstate(over="ignore"):
        quotient = values / divisor
    return np.where(np.isfinite(values), np.clip(quotient, -most, most), quotient)


def _l2_norm(heads: FloatArray) -> FloatArray:
    return _one_for_zero(np.sqrt(np.sum(heads**2, axis=-1, keepdims=True)))


def _l1_norm(heads: FloatArray) -> FloatArray:
    return _one_for_zero(np.sum(heads, axis=-1, keepdims=True))


def _one_for_zero(values: FloatArray) -> FloatArray:
    return np.where(values == 0, 1.0, values)
