"""The exact gradient of the loss, in closed form.

With hats for L2-normalised heads, ``u_j`` the student heads as they enter the mixture
``m_i = Σ_j a_ij u_j``, and ``D`` the divergence:

``∂L/∂a_ij = <∂D/∂m_i, u_j>``, ``∂L/∂c_ij = a_ij (∂L/∂a_ij - Σ_m a_im ∂L/∂a_im) / τ``,
``∂L/∂u_j = Σ_i a_ij ∂D/∂m_i``, ``∂L/∂ŝ_j = Σ_i ∂L/∂c_ij t̂_i``,
then both pass through their normalisations to ``s_j``. The teacher never gets a gradient [D]; the
student gets it through the mixture *and* through the weights [D].
"""

import numpy as np
from numpy.typing import ArrayLike

from amad_core.arguments.maps import REDUCTIONS
from amad_core.arguments.words import check_choice
from amad_core.attention.alignment import aligned_maps, softmax_over_students
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
    cosine_similarity,
    l2_normalise,
    largest,
    saturating_divide,
    unscaled,
)
from amad_core.attention.similarity import l2_normalise_gradient as cosine_gradient

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
    """The gradient of the summed loss with respect to the compared student heads."""
    normalise, normalise_gradient = problem.variant.normalisation
    teacher_unit, student_unit = l2_normalise(problem.teacher), l2_normalise(student)
    weights = softmax_over_students(
        cosine_similarity(problem.teacher, student), problem.temperature
    )
    target, entering = normalise(problem.teacher), normalise(student)

    # One scale a cell: ∂D/∂m overflows where every student head is tiny, ∂D/∂m times u_j does not.
    scale = largest(np.swapaxes(entering, -1, -2)).swapaxes(-1, -2)
    scaled_mixture_gradient = problem.variant.divergence.gradient(
        target, aligned_maps(weights, entering), problem.eps, scale
    )
    infinite = np.isinf(scaled_mixture_gradient)
    finite = np.where(infinite, 0.0, scaled_mixture_gradient)

    weights_gradient = finite @ np.swapaxes(entering / scale, -1, -2)
    average = np.sum(weights * weights_gradient, axis=-1, keepdims=True)
    logits_gradient = weights * (weights_gradient - average)

    through_mixture = saturating_divide(np.swapaxes(weights, -1, -2) @ finite, scale)
    reached = np.swapaxes(weights > 0, -1, -2).astype(np.float64) @ infinite
    through_mixture = np.where(reached > 0, -np.inf, through_mixture)
    along_mixture = np.sum(weights * weights_gradient, axis=-2)[..., np.newaxis]

    # 1/τ comes last, as it may be as large as a float can be.
    through_cosine = np.swapaxes(logits_gradient, -1, -2) @ teacher_unit
    along_cosine = np.sum(through_cosine * student_unit, axis=-1, keepdims=True)
    by_cosine = cosine_gradient(student, through_cosine, along_cosine)
    by_mixture = normalise_gradient(student, through_mixture, along_mixture)
    by_cosine = saturating_divide(by_cosine, np.asarray(problem.temperature))
    return unscaled(student, np.add(by_mixture, by_cosine))


def _gradient(problem: Problem, with_respect_to: str) -> FloatArray:
    student, weight, bias = problem.student, problem.weight, problem.bias
    upstream = heads_gradient(problem, compared_student(problem))
    if weight is None or bias is None:
        return _as_maps(upstream, problem)
    gradients = projected_heads_gradient(student, weight, bias, problem.valid, upstream)
    by_name = gradients._asdict() | {"student": _as_maps(gradients.student, problem)}
    return np.asarray(by_name[with_respect_to])


def _as_maps(heads: FloatArray, problem: Problem) -> FloatArray:
    """Back to ``[B, Hs, Q, K]`` from whole maps ``[B, Hs, n]`` or rows ``[B, Q, Hs, K]``."""
    batch, queries, keys = problem.valid.shape
    by_head = np.moveaxis(heads, 1, 2) if heads.ndim == 4 else heads
    maps = by_head.reshape(batch, -1, queries, keys)
    return np.where(problem.valid[:, np.newaxis], maps, 0.0)
