"""Alignment: how much each student head is asked to explain each teacher head."""

from keras import ops

from amad_core.arguments.maps import check_temperature
from amad_keras.attention.inputs import checked_maps, tiny, whole_maps
from amad_keras.attention.precision import product
from amad_keras.attention.similarity import cosine_similarity, scaled_to_peak
from amad_keras.capture.tensors import Tensor


def softmax_over_students(similarity: Tensor, temperature: float) -> Tensor:
    """Eq. 2: ``a_ij = exp(c_ij/τ) / Σ_m exp(c_im/τ)``, a softmax over **student** heads.

    ``[..., Ht, Hs]`` to the same shape; every row sums to 1.
    """
    # The largest cosine is taken off before the division, so that no τ, however small, overflows.
    best = ops.stop_gradient(ops.max(similarity, axis=-1, keepdims=True))
    divisor = max(temperature, tiny(similarity.dtype))
    if similarity.shape[-1] == 1:  # of which Keras's softmax would warn
        return ops.ones_like(similarity)
    return ops.softmax((similarity - best) / divisor, axis=-1)


def aligned_maps(weights: Tensor, student: Tensor) -> Tensor:
    """``m_i = Σ_j a_ij s_j`` (eq. 4, 9): the student heads, mixed to stand for teacher head i.

    ``[..., Ht, Hs]`` and ``[..., Hs, n]`` to ``[..., Ht, n]``.
    """
    return product(weights, student)


def alignment_weights(
    *,
    teacher: Tensor,
    student: Tensor,
    temperature: float = 1.0,
    mask: Tensor | None = None,
) -> Tensor:
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
        ``[B, Ht, Hs]``, each in [0, 1], each row summing to 1; float64 where an input is float64,
        else float32.

    Raises:
        TypeError: maps that are not real floats, a mask that is not boolean, a temperature that is
            no real number.
        ValueError: wrong rank, mismatched batch, queries or keys, an empty axis, a mask that does
            not broadcast, a temperature of 0 or below; outside a trace, negative, NaN
            or infinite cells that count.

    Source: Zhao et al., "No Head Left Behind", AAAI 2024, eq. 2.

    Examples:
        >>> teacher = keras.ops.array([[[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]]])
        >>> student = keras.ops.array([[[[0.8, 0.2], [0.4, 0.6]]]])
        >>> weights = alignment_weights(teacher=student, student=teacher, temperature=0.1)
        >>> [round(float(weight), 4) for weight in weights[0, 0]]
        [0.9887, 0.0113]
    """
    check_temperature(temperature)
    both = checked_maps(teacher, student, mask)
    heads = (scaled_to_peak(whole_maps(maps)) for maps in both)
    return softmax_over_students(cosine_similarity(*heads), float(temperature))
