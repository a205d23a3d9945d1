"""Alignment: how much each student head is asked to explain each teacher head."""

import numpy as np
from numpy.typing import ArrayLike

from amad_core.arguments.maps import check_temperature
from amad_core.attention.inputs import FloatArray, checked_maps, whole_maps
from amad_core.attention.similarity import cosine_similarity, scaled_to_peak


def softmax_over_students(similarity: FloatArray, temperature: float) -> FloatArray:
    """Eq. 2: ``a_ij = exp(c_ij/τ) / Σ_m exp(c_im/τ)``, a softmax over **student** heads.

    ``[..., Ht, Hs]`` to the same shape; every row sums to 1.
    """
    # The largest cosine is taken off before the division, so that no τ, however small, overflows.
    with np.errstate(over="ignore"):
        exponents = (similarity - np.max(similarity, axis=-1, keepdims=True)) / temperature
    powers = np.exp(exponents)
    return np.asarray(powers / np.sum(powers, axis=-1, keepdims=True))


def softmax_over_students_gradient(weights: FloatArray, upstream: FloatArray) -> FloatArray:
    """Of eq. 2, by ``c_ij/τ``: ``a_ij (g_ij - Σ_m a_im g_im)``, upstream gradient ``g_ij``."""
    average = np.sum(weights * upstream, axis=-1, keepdims=True)
    return np.asarray(weights * (upstream - average))


def aligned_maps(weights: FloatArray, student: FloatArray) -> FloatArray:
    """``m_i = Σ_j a_ij s_j`` (eq. 4, 9): the student heads, mixed to stand for teacher head i.

    ``[..., Ht, Hs]`` and ``[..., Hs, n]`` to ``[..., Ht, n]``.
    """
    return weights @ student


def alignment_weights(
    *,
    teacher: ArrayLike,
    student: ArrayLike,
    temperature: float = 1.0,
    mask: ArrayLike | None = None,
) -> FloatArray:
    """Alignment weights of every teacher head over the student heads (eq. 2).

    ``a_ij = exp(c_ij/τ) / Σ_m exp(c_im/τ)`` with ``c_ij = <t_i, s_j> / (|t_i|_2 |s_j|_2)``, head
    maps flattened to vectors of ``Q*K`` cells, masked cells taken out first.

    Args:
        teacher: maps ``[B, Ht, Q, K]``, non-negative floats; gets no gradient.
        student: maps ``[B, Hs, Q, K]``, non-negative floats; any ``Hs >= 1``.
        temperature: τ > 0; the paper has 1. Small τ tends to the best-matching head, large τ to
            equal weights.
        mask: boolean, broadcastable to ``[B, Q, K]``, true where a cell counts; ``None``: all do.
            Of one or two axes only where the first cannot be the batch [D21].

    Returns:
        ``[B, Ht, Hs]``, each in [0, 1], each row summing to 1; float64.

    Raises:
        TypeError: maps that are not real floats, a mask that is not boolean, a temperature that is
            no real number.
        ValueError: wrong rank, mismatched batch, queries or keys, an empty axis, a mask that does
            not broadcast, a temperature of 0 or below; negative, NaN or infinite cells that count.

    Source: Zhao et al., "No Head Left Behind", AAAI 2024, eq. 2.

    Examples:
        >>> teacher = np.array([[[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]]])
        >>> student = np.array([[[[0.8, 0.2], [0.4, 0.6]]]])
        >>> weights = alignment_weights(teacher=student, student=teacher, temperature=0.1)
        >>> [round(float(weight), 4) for weight in weights[0, 0]]
        [0.9887, 0.0113]
    """
    check_temperature(temperature)
    heads = (scaled_to_peak(whole_maps(maps)) for maps in checked_maps(teacher, student, mask))
    return softmax_over_students(cosine_similarity(*heads), float(temperature))
