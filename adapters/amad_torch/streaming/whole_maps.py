"""The variants that compare whole maps, once sums over all cells (``totals``) are known.

``mse`` (eq. 4-6) follows from ``C = T Sᵀ`` and ``G = S Sᵀ``, which add up over blocks; its backward
is one further sweep, ``dS = from_teacher T + from_student S``. ``kl`` (eq. 9) and ``js`` need the
weights before any cell of the mixture ``m = w S``, ``w_ij = a_ij/|s_j|_1``: their second sweep has
the loss and ``∂L/∂w = (∂L/∂m) Sᵀ``, their backward a third with ``dS = wᵀ ∂L/∂m`` and what comes
through ``w``. Guarded by tests/streaming/test_against_maps.py.
"""

from typing import Any, NamedTuple

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
from amad_torch.streaming.rows import BothRows
from amad_torch.streaming.totals import Totals


class _Sizes(NamedTuple):
    """What heads are divided by, found once for all blocks of a sweep.

    Attributes:
        scale: what mixtures and the floor are multiplied by, so that the teacher's heads need no
            division.
        teacher, student: ``[B, H]``.
        both: the same ``[B, Ht + Hs]`` in the dtype of the cells; ``None`` where all are 1.
    """

    scale: float
    teacher: Tensor
    student: Tensor
    both: Tensor | None


def losses(problem: Problem, found: Totals, *, derivative: bool) -> tuple[Tensor, Tensor | None]:
    """One loss a sample ``[B]``; of ``kl``, ``js`` also ``∂L/∂w`` ``[B, Ht, Hs]`` if asked for."""
    if problem.variant == "mse":
        each, _ = squared_distance(found.aligned(problem.temperature), found.among)
        return each.sum(dim=1).clamp(min=0.0), None  # rounding below 0 is 0
    mixing = found.mixing(problem.temperature) * found.student_peaks.unsqueeze(-2)
    divergence = DIVERGENCES[problem.variant]
    workspace = problem.workspace
    factor = found.student_peaks.unsqueeze(-2) * divergence.factor
    sizes = _sizes(problem, found)
    scale = sizes.scale
    if problem.for_kernels is not None:
        given = problem.for_kernels, problem.counted, found.rows, sizes[1:3], mixing
        options: dict[str, Any] = {
            "variant": problem.variant,
            "eps": problem.eps,
            "derivative": derivative,
        }
        loss, products = on_kernels.divergences(*given, **options)
        return loss, None if products is None else products * factor
    loss, of_mixing = torch.zeros_like(mixing[:, 0, 0]), torch.zeros_like(mixing)
    mixing = (mixing * scale).to(problem.teacher.attended.queries.dtype)
    for block in problem.blocks:
        rows = problem.rows(block)
        target, student = problem.by_model(_heads(problem, sizes, rows, block))
        mixture = mixed(mixing[block.samples, None], student, workspace, "mixture")
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

    sizes = _sizes(problem, found)
    from_teacher = small(by_heads.from_teacher * sizes.teacher.unsqueeze(-2))
    workspace = problem.workspace
    if of_mixing is None:
        from_student = small(by_heads.from_student * found.student_peaks.unsqueeze(-2))
        if problem.for_kernels is not None:
            small_ones = {"from_teacher": from_teacher, "from_student": from_student}
            _by_kernels(problem, found, sizes, into, **small_ones)
        from_both = torch.cat([from_teacher, from_student], dim=-1)
        for block in problem.blocks:
            rows = problem.rows(block)
            heads = _heads(problem, sizes, rows, block)
            through = mixed(from_both[block.samples, None], heads, workspace, "through")
            into.add(block, rows.student, through)
        return
    own, shift = (
        small(torch.diag_embed(by_heads.from_student * found.student_peaks)),
        small(of_sums.unsqueeze(-1)),
    )
    from_both = torch.cat([from_teacher, own], dim=-1)
    divergence = DIVERGENCES[problem.variant]
    mixing = found.mixing(problem.temperature)
    back = small(mixing.mT * divergence.factor)
    mixing = mixing * found.student_peaks.unsqueeze(-2) * sizes.scale
    if problem.for_kernels is not None:
        _by_kernels(
            problem, found, sizes, into, from_teacher=from_teacher,
            from_student=own.diagonal(dim1=-2, dim2=-1).contiguous(),
            mixing=mixing, back=back, shift=shift[..., 0],
        )  # fmt: skip
    mixing = mixing.to(into.dtype)
    for block in problem.blocks:
        rows = problem.rows(block)
        heads = _heads(problem, sizes, rows, block)
        target, student = problem.by_model(heads)
        mixture = mixed(mixing[block.samples, None], student, workspace, "mixture")
        work = (workspace("scores", *target.shape), workspace("work", *target.shape))
        slope = divergence.slope(target, mixture, work, problem.eps * sizes.scale)
        through = mixed(back[block.samples, None], slope, workspace, "through")
        through = mixed(from_both[block.samples, None], heads, workspace, onto=through)
        if problem.partial:  # of rows that sum to 1, a shift changes nothing
            through.add_(shift[block.samples, :, None])
            problem.keep_counted(through, block, through)
        into.add(block, rows.student, through)


def _by_kernels(
    problem: Problem, found: Totals, sizes: _Sizes, into: Gradients, **small: Tensor
) -> None:
    """The last sweep without blocks."""
    assert problem.for_kernels is not None
    given = problem.for_kernels, problem.counted, found.rows, sizes[1:3]
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


def _heads(problem: Problem, sizes: _Sizes, rows: BothRows, block: Block) -> Tensor:
    """Both models' heads, divided by their sizes; 0 where a cell does not count."""
    chosen = None if sizes.both is None else sizes.both[block.samples]
    return problem.compared(rows.maps, block, chosen)


def _sizes(problem: Problem, found: Totals) -> _Sizes:
    """``|t_i|_1`` where probabilities are compared (eq. 9), else the largest cell; the student's
    largest. The teacher's are 1 for a head of zeros, and where mixtures are multiplied instead.
    """
    scale = _scale(problem, found)
    teacher = found.teacher_peaks if problem.variant == "mse" else found.teacher_sums
    teacher = torch.ones_like(teacher) if scale != 1 else teacher.where(teacher > 0, 1.0)
    both = None
    if problem.partial or (problem.variant != "mse" and scale == 1):
        both = torch.cat([teacher, found.student_peaks], dim=1)
        both = both.to(problem.student.attended.queries.dtype)
    return _Sizes(scale, teacher, found.student_peaks, both)


def _scale(problem: Problem, found: Totals) -> float:
    """The number of queries, where that is the sum of every teacher head; else 1.

    A divergence of heads and mixtures that are both that many times as large is so too; its slope
    stays.
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
