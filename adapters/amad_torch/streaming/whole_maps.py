"""The variants that compare whole maps, once sums over all cells (``totals``) are known.

``mse`` (eq. 4-6) follows from ``C = T Sᵀ`` and ``G = S Sᵀ``, which add up over blocks; its backward
is one further sweep, ``dS = from_teacher T + from_student S``. ``kl`` (eq. 9) and ``js`` need the
weights before any cell of the mixture ``m = w S``, ``w_ij = a_ij/|s_j|_1``: their second sweep has
the loss and ``∂L/∂w = (∂L/∂m) Sᵀ``, their backward a third with ``dS = wᵀ ∂L/∂m`` and what comes
through ``w``. Guarded by tests/streaming/test_against_maps.py.
"""

from typing import Any

import torch
from torch import Tensor

from amad_torch.closed_form.cells import DIVERGENCES
from amad_torch.closed_form.gram import (
    Gradient,
    inverse,
    narrowed,
    squared_distance,
    through_weights,
)
from amad_torch.streaming import on_kernels
from amad_torch.streaming.blocks import Block
from amad_torch.streaming.derivatives import Gradients
from amad_torch.streaming.heads import mixed, row_products
from amad_torch.streaming.problem import Problem
from amad_torch.streaming.rows import Rows
from amad_torch.streaming.totals import Totals


def losses(problem: Problem, found: Totals, *, derivative: bool) -> tuple[Tensor, Tensor | None]:
    """One loss a sample ``[B]``; of ``kl``, ``js`` also ``∂L/∂w`` ``[B, Ht, Hs]`` if asked for."""
    if problem.variant == "mse":
        each, _ = squared_distance(found.aligned(problem.temperature), found.among)
        return each.sum(dim=1).clamp(min=0.0), None  # rounding below 0 is 0
    mixing = found.mixing(problem.temperature) * found.student_peaks.unsqueeze(-2)
    divergence = DIVERGENCES[problem.variant]
    workspace = problem.workspace
    factor = found.student_peaks.unsqueeze(-2) * divergence.factor
    scale = _scale(problem, found)
    if problem.for_kernels is not None:
        given = problem.for_kernels, problem.counted, found.rows, _sizes(problem, found), mixing
        options: dict[str, Any] = {
            "variant": problem.variant,
            "eps": problem.eps,
            "derivative": derivative,
        }
        loss, products = on_kernels.divergences(*given, **options)
        return loss, None if products is None else products * factor
    loss, of_mixing = torch.zeros_like(mixing[:, 0, 0]), torch.zeros_like(mixing)
    for block in problem.blocks:
        target, _, student = _heads(problem, found, block)
        mixture = mixed(_small(mixing * scale, block, target), student, workspace, "mixture")
        work = (workspace("scores", *target.shape), workspace("work", *target.shape))
        values, slope = divergence.value(target, mixture, work, problem.eps * scale)
        loss[block.samples] += values.flatten(1).sum(dim=1, dtype=loss.dtype)
        if derivative:
            products = row_products(slope, student)
            of_mixing[block.samples] += products.sum(dim=1, dtype=loss.dtype)
    return loss / scale, of_mixing * factor if derivative else None


def add_gradients(
    problem: Problem, found: Totals, of_mixing: Tensor | None, upstream: Tensor, into: Gradients
) -> None:
    """The last sweep: what ``upstream`` ``[B]`` makes of the loss, added block by block."""
    upstream = upstream.to(found.products.dtype)[:, None, None]
    by_heads, of_sums = _through_totals(problem, found, of_mixing)
    terms = by_heads.from_teacher.shape[1] + by_heads.from_teacher.shape[2]

    def small(values: Tensor) -> Tensor:
        return narrowed(values * upstream, into.dtype, terms)

    sizes = _teacher_sizes(problem, found).unsqueeze(-2)
    from_teacher = small(by_heads.from_teacher * sizes)
    workspace = problem.workspace
    if of_mixing is None:
        from_student = small(by_heads.from_student * found.student_peaks.unsqueeze(-2))
        if problem.for_kernels is not None:
            _by_kernels(problem, found, into, from_teacher=from_teacher, from_student=from_student)
        for block in problem.blocks:
            teacher, rows, student = _heads(problem, found, block)
            through = mixed(from_teacher[block.samples, None], teacher, workspace, "through")
            through = mixed(from_student[block.samples, None], student, workspace, onto=through)
            into.add(block, rows, through, workspace)
        return
    own, shift = (
        small(one.unsqueeze(-1)) for one in (by_heads.from_student * found.student_peaks, of_sums)
    )
    divergence = DIVERGENCES[problem.variant]
    mixing = found.mixing(problem.temperature)
    back = small(mixing.mT * divergence.factor)
    scale = _scale(problem, found)
    mixing = mixing * found.student_peaks.unsqueeze(-2) * scale
    if problem.for_kernels is not None:
        _by_kernels(
            problem, found, into, from_teacher=from_teacher, from_student=own[..., 0],
            mixing=mixing, back=back, shift=shift[..., 0],
        )  # fmt: skip
    for block in problem.blocks:
        target, rows, student = _heads(problem, found, block)
        mixture = mixed(_small(mixing, block, target), student, workspace, "mixture")
        work = (workspace("scores", *target.shape), workspace("work", *target.shape))
        slope = divergence.slope(target, mixture, work, problem.eps * scale)
        through = mixed(back[block.samples, None], slope, workspace, "through")
        through = mixed(from_teacher[block.samples, None], target, workspace, onto=through)
        through.addcmul_(student, own[block.samples, :, None])
        through.add_(shift[block.samples, :, None])
        problem.keep_counted(through, block, through)
        into.add(block, rows, through, workspace)


def _by_kernels(problem: Problem, found: Totals, into: Gradients, **small: Tensor) -> None:
    """The last sweep without blocks."""
    assert problem.for_kernels is not None
    given = problem.for_kernels, problem.counted, found.rows, _sizes(problem, found)
    options: dict[str, Any] = {"variant": problem.variant, "eps": problem.eps, **small}
    for name, gradient in on_kernels.gradients(*given, **options).items():
        if name in into.of:
            into.put(name, gradient)


def _through_totals(
    problem: Problem, found: Totals, of_mixing: Tensor | None
) -> tuple[Gradient, Tensor]:
    """The derivative by the student's heads, as far as it comes through sums over cells.

    That of raw heads, and what is the same for all cells of a head ``[B, Hs]``.
    """
    aligned = found.aligned(problem.temperature)
    if of_mixing is None:
        return squared_distance(aligned, found.among)[1], torch.zeros_like(found.student_sums)
    by_sum = inverse(found.student_sums)
    by_weight = of_mixing * by_sum.unsqueeze(-2)
    return through_weights(aligned, by_weight), -(aligned.weights * by_weight).sum(dim=-2) * by_sum


def _heads(problem: Problem, found: Totals, block: Block) -> tuple[Tensor, Rows, Tensor]:
    """The teacher's heads, divided by their sizes; the student's rows, and its heads likewise.

    0 where a cell does not count.
    """
    teacher, rows = (problem.rows(model, block) for model in ("teacher", "student"))
    sizes = _sizes(problem, found)
    apart = problem.partial or (problem.variant != "mse" and _scale(problem, found) == 1)
    ours = sizes[0][block.samples] if apart else None
    others = sizes[1][block.samples] if problem.partial else None
    return (
        problem.compared(teacher.maps, block, "teacher", ours),
        rows,
        problem.compared(rows.maps, block, "student", others),
    )


def _scale(problem: Problem, found: Totals) -> float:
    """What mixtures and the floor are multiplied by, so that the teacher's heads need no division.

    The number of queries, where that is the sum of every teacher head. A divergence of heads and
    mixtures that are both that many times as large is so too; its slope stays. Else 1.
    """
    queries = problem.student.attended.shape[2]
    if (
        problem.variant == "mse"
        or problem.partial
        or problem.for_kernels is not None
        or found.products.device.type != "cpu"  # to look would be to wait
        or problem.eps * queries >= 1  # `cells` knows that no cell is above 1
        or not bool(((found.teacher_sums - queries).abs() < 0.5).all())  # rows without a key are 0
    ):
        return 1.0
    return float(queries)


def _sizes(problem: Problem, found: Totals) -> tuple[Tensor, Tensor]:
    """What the heads of both models are divided by."""
    return _teacher_sizes(problem, found), found.student_peaks


def _teacher_sizes(problem: Problem, found: Totals) -> Tensor:
    """``|t_i|_1`` where probabilities are compared (eq. 9); 1 for a head of zeros.

    1 also where the mixtures are multiplied instead.
    """
    if _scale(problem, found) != 1:
        return torch.ones_like(found.teacher_sums)
    sizes = found.teacher_peaks if problem.variant == "mse" else found.teacher_sums
    return sizes.where(sizes > 0, 1.0)


def _small(weights: Tensor, block: Block, like: Tensor) -> Tensor:
    """One matrix a sample of the block, in the dtype of the cells."""
    return weights[block.samples, None].to(like.dtype)
