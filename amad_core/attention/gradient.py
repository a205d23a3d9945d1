"""The exact gradient of the loss, in closed form.

With hats for L2-normalised heads, ``u_j`` the student heads that are mixed in, the mixture
``m_i = Σ_j a_ij u_j``, and ``D`` the divergence (eq. 4, 9):

- ``∂L/∂a_ij = <∂D/∂m_i, u_j>`` and ``∂L/∂u_j = Σ_i a_ij ∂D/∂m_i``, of the mixture;
- ``∂L/∂c_ij = a_ij (∂L/∂a_ij - Σ_m a_im ∂L/∂a_im) / τ``, of the softmax (eq. 2);
- ``∂L/∂ŝ_j = Σ_i ∂L/∂c_ij t̂_i``, of the cosine;

then ``∂L/∂u_j`` and ``∂L/∂ŝ_j`` pass through their normalisations to ``s_j``. The teacher never
gets a gradient; the student gets it through the mixture *and* through the weights [D8].
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amad_core.arguments.maps import REDUCTIONS
from amad_core.arguments.words import check_choice
from amad_core.attention.alignment import (
    aligned_maps,
    softmax_over_students,
    softmax_over_students_gradient,
)
from amad_core.attention.inputs import FloatArray
from amad_core.attention.loss import (
    Problem,
    checked_problem,
    compared_student,
    reduce_batch,
    sample_losses,
)
from amad_core.attention.projection import projected_heads_gradient
from amad_core.attention.similarity import (
    LARGEST,
    cosine_similarity,
    l2_normalise,
    l2_normalise_gradient,
    saturating_divide,
    scaled_to_peak,
    scaled_to_peak_gradient,
)

DIFFERENTIABLE = ("student", "weight", "bias")


def amad_loss_and_grad(
    *,
    teacher: ArrayLike,
    student: ArrayLike,
    variant: str = "mse",
    temperature: float = 1.0,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    eps: float = 0.0,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    with_respect_to: str = "student",
) -> tuple[FloatArray, FloatArray]:
    """The loss of ``amad_loss``, and its exact gradient.

    Args:
        teacher, student, variant, temperature, reduction, mask, eps, weight, bias: as in
            ``amad_loss``.
        with_respect_to: ``"student"``; for the variant ``projected`` also ``"weight"`` or
            ``"bias"``.

    Returns:
        The loss as ``amad_loss`` gives it, and the gradient, float64, of the shape of what it
        is taken with respect to. With ``reduction="none"`` it is the gradient of the sum over the
        batch, so each sample holds the gradient of its own loss. Masked cells and heads of zeros
        have gradient 0. A derivative too large for float64 gives the largest float64; where the
        derivative is infinite (``eps = 0`` and an empty mixture under teacher mass) it is ``-inf``.

    Raises:
        TypeError, ValueError: as ``amad_loss``; ``with_respect_to`` that names nothing
            differentiable in this variant.

    Source: the derivative of Zhao et al., AAAI 2024, eq. 2-12; see the specification page.

    Examples:
        >>> teacher = np.array([[[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]]])
        >>> student = np.array([[[[0.8, 0.2], [0.4, 0.6]]]])
        >>> loss, gradient = amad_loss_and_grad(teacher=teacher, student=student, variant="kl")
        >>> gradient.round(4).tolist()
        [[[[0.375, -1.5], [-0.25, 0.1667]]]]
    """
    check_choice("reduction", reduction, REDUCTIONS)
    problem = checked_problem(
        teacher, student, variant, temperature, mask, eps, weight=weight, bias=bias
    )
    allowed = DIFFERENTIABLE if problem.variant.projected else DIFFERENTIABLE[:1]
    check_choice("with_respect_to", with_respect_to, allowed)
    losses = sample_losses(problem)
    gradient = _gradient(problem, with_respect_to)
    if reduction == "mean":
        gradient = gradient / losses.shape[0]
    return reduce_batch(losses, reduction), gradient


def heads_gradient(problem: Problem, student: FloatArray) -> FloatArray:
    """``∂L/∂s_j`` of the summed loss, for the student heads that meet the teacher's."""
    normalise, normalise_gradient = problem.variant.normalisation
    teacher, scaled = problem.teacher, scaled_to_peak(student)
    weights = softmax_over_students(cosine_similarity(teacher, scaled), problem.temperature)
    mixed_in = normalise(scaled)
    mixture = aligned_maps(weights, mixed_in)

    by_mixture = problem.variant.divergence.gradient(normalise(teacher), mixture, problem.eps)
    infinite = np.isinf(by_mixture)  # these cells are left out of all sums [D10]
    by_mixture = np.where(infinite, 0.0, by_mixture)

    by_weight = by_mixture @ _transposed(mixed_in)
    by_logit = softmax_over_students_gradient(weights, by_weight)
    by_unit = _transposed(by_logit) @ l2_normalise(teacher)
    with np.errstate(over="ignore"):
        by_mixed_in = np.clip(_transposed(weights) @ by_mixture, -LARGEST, LARGEST)

    # 1/τ comes last, as it may be as large as a float can be.
    through_weights = saturating_divide(l2_normalise_gradient(scaled, by_unit), problem.temperature)
    by_scaled = normalise_gradient(scaled, by_mixed_in) + through_weights
    by_scaled[_transposed(weights > 0) @ infinite] = -np.inf
    return scaled_to_peak_gradient(student, by_scaled)


def _gradient(problem: Problem, with_respect_to: str) -> FloatArray:
    student, weight, bias = problem.student, problem.weight, problem.bias
    upstream = heads_gradient(problem, compared_student(problem))
    if weight is None or bias is None:
        return _as_maps(upstream, problem)
    gradients = projected_heads_gradient(student, weight, bias, problem.valid, upstream)
    by_name = gradients._asdict() | {"student": _as_maps(gradients.student, problem)}
    return np.asarray(by_name[with_respect_to])


def _transposed(heads: NDArray[Any]) -> NDArray[Any]:
    return np.swapaxes(heads, -1, -2)


def _as_maps(heads: FloatArray, problem: Problem) -> FloatArray:
    """Back to ``[B, Hs, Q, K]`` from whole maps ``[B, Hs, n]`` or rows ``[B, Q, Hs, K]``."""
    batch, queries, keys = problem.valid.shape
    by_head = np.moveaxis(heads, 1, 2) if heads.ndim == 4 else heads
    maps = by_head.reshape(batch, -1, queries, keys)
    return np.where(problem.valid[:, np.newaxis], maps, 0.0)
