"""The loss: similarity, alignment, mixture, divergence, sum over teacher heads."""

from typing import NamedTuple

from keras import ops

from amad_core.arguments.maps import (
    REDUCTIONS,
    check_eps,
    check_projection,
    check_temperature,
)
from amad_core.arguments.words import check_choice
from amad_keras.attention.alignment import aligned_maps, softmax_over_students
from amad_keras.attention.inputs import (
    broadcast_mask,
    checked_maps,
    checked_parameter,
    tiny,
)
from amad_keras.attention.projection import projected_heads
from amad_keras.attention.similarity import cosine_similarity, scaled_to_peak
from amad_keras.attention.variants import VARIANTS, Variant
from amad_keras.capture.tensors import Tensor, known_shape


class Problem(NamedTuple):
    """Checked inputs of one evaluation, heads as vectors: ``[B, H, n]``, or a row of maps each."""

    variant: Variant
    teacher: Tensor
    student: Tensor
    temperature: float
    eps: float
    valid: Tensor | None
    weight: Tensor | None
    bias: Tensor | None


def amad_loss(
    *,
    teacher: Tensor,
    student: Tensor,
    variant: str = "mse",
    temperature: float = 1.0,
    reduction: str = "mean",
    mask: Tensor | None = None,
    eps: float | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """How badly the student's heads explain the teacher's; 0 when every mixture equals its head.

    With ``t_i``, ``s_j`` the maps of one sample as vectors (masked cells taken out first), hats for
    division by the L2 norm, ``a_ij`` the weights of ``alignment_weights`` (eq. 2), a sample's
    loss is the sum over teacher heads (eq. 5) of

    - ``mse`` (eq. 4-6): ``|t̂_i - Σ_j a_ij ŝ_j|²``, each in [0, 2];
    - ``kl`` (eq. 9): ``KL(t_i/|t_i|_1 ‖ Σ_j a_ij s_j/|s_j|_1)``, at least 0;
    - ``projected`` (eq. 10-11): ``kl`` with ``s̃_j = ReLU(W s_j/|s_j|_1 + b)`` for ``s_j``;
    - ``token`` (eq. 12): ``kl`` of every query row on its own, weights too, summed over the rows;
    - ``js``: ``kl`` with the Jensen-Shannon divergence, each in [0, log 2] (beyond the paper).

    Identical maps are no zero of the loss at τ = 1: see the specification page.

    Args:
        teacher: maps ``[B, Ht, Q, K]``, non-negative floats; gets no gradient.
        student: maps ``[B, Hs, Q, K]``, non-negative floats; any ``Ht, Hs >= 1``, ``Q != K`` too.
        variant: ``"mse"``, ``"kl"``, ``"projected"``, ``"token"`` or ``"js"``.
        temperature: τ > 0 of the softmax over student heads; the paper has 1.
        reduction: over the batch: ``"mean"``, ``"sum"``, or ``"none"`` for one loss a sample.
        mask: boolean, broadcastable to ``[B, Q, K]``, true where a cell counts; ``None``: all do.
            Of one or two axes only where the first cannot be the batch [D21].
            What a masked cell holds, NaN included, has no influence. A sample without any cell
            that counts contributes 0.
        eps: floor on the mixture inside the logarithm, at least 0; ``None``: the smallest normal
            number of the accumulation dtype. With 0, as in the specification, ``kl`` is ``+inf``
            and has no gradient where the teacher has mass and the mixture has none.
        weight: ``W`` ``[n, n]`` with ``n = Q*K``, for ``projected`` only.
        bias: ``b`` ``[n]``, for ``projected`` only.

    Returns:
        A scalar, or ``[B]`` with ``reduction="none"``; float64 where a map is float64, else
        float32. All sums are in that dtype, also for half-precision maps.

    Raises:
        TypeError: maps that are not real floats, a mask that is not boolean, an option of the
            wrong type.
        ValueError: wrong rank, mismatched batch, queries or keys, an empty axis, a mask that does
            not broadcast, an unknown variant or reduction, a temperature of 0 or below, a weight
            or bias missing, misplaced or of the wrong shape; outside a trace,
            negative, NaN or infinite cells that count.

    Source: Zhao et al., "No Head Left Behind", AAAI 2024, eq. 2-12.

    Examples:
        >>> teacher = keras.ops.array([[[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]]])
        >>> student = keras.ops.array([[[[0.8, 0.2], [0.4, 0.6]]]])
        >>> round(float(amad_loss(teacher=teacher, student=student)), 4)
        1.0186
        >>> mask = keras.ops.array([[[True, True], [False, False]]])
        >>> loss = amad_loss(teacher=teacher, student=student, variant="kl", mask=mask)
        >>> round(float(loss), 4)
        1.8326
    """
    check_choice("reduction", reduction, REDUCTIONS)
    check_choice("variant", variant, VARIANTS)
    problem = checked_problem(
        teacher,
        student,
        variant,
        temperature,
        mask,
        eps,
        weight=weight,
        bias=bias,
    )
    return reduce_batch(sample_losses(problem), reduction)


def checked_problem(
    teacher: Tensor,
    student: Tensor,
    variant: str,
    temperature: float,
    mask: Tensor | None,
    eps: float | None,
    *,
    weight: Tensor | None,
    bias: Tensor | None,
) -> Problem:
    """Everything checked, and the maps laid out as the variant compares them."""
    check_temperature(temperature)
    if eps is not None:
        check_eps(eps)
    teacher, student = checked_maps(teacher, student, mask)
    matrix, offset = (
        None if values is None else checked_parameter(argument, values, student)
        for argument, values in (("weight", weight), ("bias", bias))
    )
    check_projection(
        variant,
        None if matrix is None else known_shape(matrix),
        None if offset is None else known_shape(offset),
        known_shape(student),
    )
    row = VARIANTS[variant]
    return Problem(
        variant=row,
        teacher=row.layout(teacher),
        student=row.layout(student),
        temperature=float(temperature),
        eps=tiny(student.dtype) if eps is None else float(eps),
        valid=broadcast_mask(mask, student) if row.projected else None,
        weight=matrix,
        bias=offset,
    )


def sample_losses(problem: Problem) -> Tensor:
    """Eq. 5: one loss a sample, ``[B]``, the sum over its teacher heads (and rows, in eq. 12)."""
    teacher, student = scaled_to_peak(problem.teacher), scaled_to_peak(compared_student(problem))
    weights = softmax_over_students(cosine_similarity(teacher, student), problem.temperature)
    normalise = problem.variant.normalisation
    mixture = aligned_maps(weights, normalise(student))
    per_head = problem.variant.divergence(normalise(teacher), mixture, problem.eps)
    return ops.sum(per_head, axis=tuple(range(1, len(per_head.shape))))


def compared_student(problem: Problem) -> Tensor:
    """The student heads that meet the teacher's: projected (eq. 10), or as they are."""
    if problem.weight is None or problem.bias is None or problem.valid is None:
        return problem.student
    return projected_heads(problem.student, problem.weight, problem.bias, problem.valid)


def reduce_batch(losses: Tensor, reduction: str) -> Tensor:
    """``[B]`` as it is, summed, or averaged over the batch."""
    if reduction == "none":
        return losses
    total = ops.sum(losses)
    if reduction == "sum":
        return total
    # Not ops.mean, which on PyTorch adds up float64 in float32.
    return total / ops.cast(ops.shape(losses)[0], losses.dtype)
