"""The loss: similarity, alignment, mixture, divergence, sum over teacher heads."""

from typing import NamedTuple

import torch
from torch import Tensor

from amad_core.arguments.maps import (
    REDUCTIONS,
    check_eps,
    check_implementation,
    check_map_shapes,
    check_projection,
    check_temperature,
)
from amad_core.arguments.words import check_choice
from amad_torch.attention.alignment import aligned_maps, softmax_over_students
from amad_torch.attention.inputs import (
    accumulation_dtype,
    broadcast_mask,
    checked_maps,
    checked_parameter,
    floating,
)
from amad_torch.attention.opaque import node
from amad_torch.attention.precision import full_precision
from amad_torch.attention.projection import projected_heads
from amad_torch.attention.saved import kept_by_autograd, refuse_two_forward_modes
from amad_torch.attention.similarity import cosine_similarity, scaled_to_peak
from amad_torch.attention.value_checks import reads_values
from amad_torch.attention.variants import VARIANTS, Variant
from amad_torch.closed_form.function import closed_form_losses
from amad_torch.closed_form.losses import Options
from amad_torch.kernels.availability import serves


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
    check_values: bool | None = None,
    implementation: str = "auto",
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
        check_values: look for negative, NaN and infinite cells, and a weight or bias that is not
            finite: always (``True``), never (``False``), or where it costs no device
            synchronisation (``None``).
        implementation: ``"plain"``: the formulas as they stand, differentiated by autograd.
            ``"fused"``: loss and gradient in closed form, without anything of the size of the maps
            beside them and the gradient; not for ``projected``. ``"auto"``: the second on a CPU,
            and on a GPU where there are kernels for it.

    Returns:
        A scalar, or ``[B]`` with ``reduction="none"``; float64 where a map is float64, else
        float32. All sums are in that dtype, under autocast too.

    Raises:
        TypeError: maps that are not real floats, a mask that is not boolean, an option of the
            wrong type.
        ValueError: wrong rank, mismatched batch, queries or keys, an empty axis, a mask that does
            not broadcast, an unknown variant or reduction, a temperature of 0 or below, a weight
            or bias missing, misplaced or of the wrong shape; as far as values are checked,
            negative, NaN or infinite cells that count.

    Source: Zhao et al., "No Head Left Behind", AAAI 2024, eq. 2-12.

    Examples:
        >>> teacher = torch.tensor([[[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]]])
        >>> student = torch.tensor([[[[0.8, 0.2], [0.4, 0.6]]]])
        >>> round(float(amad_loss(teacher=teacher, student=student)), 4)
        1.0186
        >>> mask = torch.tensor([[[True, True], [False, False]]])
        >>> loss = amad_loss(teacher=teacher, student=student, variant="kl", mask=mask)
        >>> round(float(loss), 4)
        1.8326
    """
    check_choice("reduction", reduction, REDUCTIONS)
    check_choice("variant", variant, VARIANTS)
    check_implementation(implementation, variant)
    refuse_two_forward_modes()
    with full_precision(student):
        if weight is None and bias is None and _is_fused(implementation, variant, teacher, student):
            losses = _closed_form(teacher, student, variant, temperature, mask, eps, check_values)
            return reduce_batch(losses, reduction)
        problem = checked_problem(
            teacher,
            student,
            variant,
            temperature,
            mask,
            eps,
            weight=weight,
            bias=bias,
            check_values=check_values,
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
    check_values: bool | None,
) -> Problem:
    """Everything checked, and the maps laid out as the variant compares them."""
    check_temperature(temperature)
    if eps is not None:
        check_eps(eps)
    teacher, student = checked_maps(teacher, student, mask, check_values)
    matrix, offset = (
        None if values is None else checked_parameter(argument, values, student, check_values)
        for argument, values in (("weight", weight), ("bias", bias))
    )
    check_projection(
        variant,
        None if matrix is None else matrix.shape,
        None if offset is None else offset.shape,
        student.shape,
    )
    row = VARIANTS[variant]
    return Problem(
        variant=row,
        teacher=scaled_to_peak(row.layout(teacher)),
        student=row.layout(student),
        temperature=float(temperature),
        eps=torch.finfo(student.dtype).tiny if eps is None else float(eps),
        valid=broadcast_mask(mask, student) if row.projected else None,
        weight=matrix,
        bias=offset,
    )


def sample_losses(problem: Problem) -> Tensor:
    """Eq. 5: one loss a sample, ``[B]``, the sum over its teacher heads (and rows, in eq. 12)."""
    student = scaled_to_peak(compared_student(problem))
    weights = softmax_over_students(
        cosine_similarity(problem.teacher, student), problem.temperature
    )
    normalise = problem.variant.normalisation
    mixture = aligned_maps(weights, normalise(student))
    per_head = problem.variant.divergence(normalise(problem.teacher), mixture, problem.eps)
    return per_head.flatten(1).sum(dim=1)


def compared_student(problem: Problem) -> Tensor:
    """The student heads that meet the teacher's: projected (eq. 10), or as they are."""
    if problem.weight is None or problem.bias is None or problem.valid is None:
        return problem.student
    return projected_heads(problem.student, problem.weight, problem.bias, problem.valid)


def reduce_batch(losses: Tensor, reduction: str) -> Tensor:
    """``[B]`` as it is, summed, or averaged over the batch."""
    if reduction == "none":
        return losses
    return losses.sum() if reduction == "sum" else losses.mean()


def _is_fused(implementation: str, variant: str, *both: Tensor) -> bool:
    """Whether the closed form is taken; of its own accord where it was measured to pay."""
    if implementation != "auto":
        return implementation == "fused"
    ordinary = [maps for maps in both if type(maps) in (Tensor, torch.nn.Parameter)]
    if VARIANTS[variant].projected or len(ordinary) < len(both):
        return False
    teacher, student = ordinary
    return teacher.device.type == student.device.type == "cpu" or serves(teacher, student)


def _closed_form(
    teacher: Tensor,
    student: Tensor,
    variant: str,
    temperature: float,
    mask: Tensor | None,
    eps: float | None,
    check_values: bool | None,
) -> Tensor:
    """Everything checked but the values, which are looked at on the way."""
    check_temperature(temperature)
    if eps is not None:
        check_eps(eps)
    teacher, student = floating("teacher", teacher), floating("student", student)
    check_map_shapes(teacher.shape, student.shape)
    if teacher.device != student.device:
        raise ValueError(
            "teacher and student must be on one device; got teacher on "
            f"{teacher.device}, student on {student.device}"
        )
    if torch.compiler.is_compiling():
        import amad_torch.attention.opaque_in_graphs  # noqa: F401
    floor = torch.finfo(accumulation_dtype(teacher, student)).tiny if eps is None else float(eps)
    losses: Tensor = _traced(
        kept_by_autograd(teacher),
        student,
        None if mask is None else broadcast_mask(mask, student),
        variant,
        float(temperature),
        floor,
        reads_values(student, check_values),
        torch.compiler.is_compiling(),
    )
    return losses


# Dynamo would look into the function, and get lost in it.
@node
def _traced(
    teacher: Tensor,
    student: Tensor,
    mask: Tensor | None,
    variant: str,
    temperature: float,
    eps: float,
    check: bool,
    compiling: bool,
) -> Tensor:
    def plain(teacher: Tensor, student: Tensor, mask: Tensor | None) -> Tensor:
        with full_precision(student):
            problem = checked_problem(
                teacher, student, variant, temperature, mask, eps,
                weight=None, bias=None, check_values=False,
            )  # fmt: skip
            return sample_losses(problem)

    options = Options(variant, temperature, eps, check)
    return closed_form_losses(teacher, student, mask, options, plain, compiling=compiling)
