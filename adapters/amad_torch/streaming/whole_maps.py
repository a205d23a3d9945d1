"""The variants that compare whole maps: sums over all cells first, then a sweep that knows them.

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
    Alignment,
    Gradient,
    alignment,
    inverse,
    narrowed,
    squared_distance,
    through_weights,
)
from amad_torch.closed_form.workspace import Workspace
from amad_torch.streaming import on_kernels
from amad_torch.streaming.blocks import Block
from amad_torch.streaming.derivatives import Gradients
from amad_torch.streaming.heads import divide, mixed, row_products, row_squares
from amad_torch.streaming.problem import Problem
from amad_torch.streaming.rows import Rows, whole_rows


class Totals(NamedTuple):
    """Sums over the cells that count, one a sample, in float64 where the device has it.

    Attributes:
        products: ``C`` ``[B, Ht, Hs]``.
        among: ``G`` ``[B, Hs, Hs]``; of ``kl`` and ``js``, which need no more, its diagonal
            ``[B, Hs]``.
        teacher_squares: ``|t_i|²``, ``[B, Ht]``.
        teacher_sums, student_sums: ``|·|_1``, ``[B, H]``; of ``mse``, which needs none, 0.
        teacher_peaks, student_peaks: the largest cell of each head, ``[B, H]``; 1 where rows sum to
            1, or where there is none.
        teacher_rows, student_rows: ``[B, H, Q]``, the log-sum-exp of rows, where kernels found it.
    """

    products: Tensor
    among: Tensor
    teacher_squares: Tensor
    teacher_sums: Tensor
    student_sums: Tensor
    teacher_peaks: Tensor
    student_peaks: Tensor
    teacher_rows: Tensor | None = None
    student_rows: Tensor | None = None

    def aligned(self, temperature: float) -> Alignment:
        """Eq. 2."""
        squares = self.among
        if squares.dim() == 3:
            squares = squares.diagonal(dim1=-2, dim2=-1)
        return alignment(self.products, self.teacher_squares, squares, temperature)

    @property
    def rows(self) -> tuple[Tensor | None, Tensor | None]:
        """The log-sum-exp of both models' rows."""
        return self.teacher_rows, self.student_rows

    def mixing(self, temperature: float) -> Tensor:
        """``w_ij = a_ij/|s_j|_1`` (eq. 2, 9), ``[B, Ht, Hs]``; 0 for a head of zeros [D4]."""
        return self.aligned(temperature).weights * inverse(self.student_sums).unsqueeze(-2)


def totals(problem: Problem) -> Totals:
    """The first sweep."""
    if problem.for_kernels is not None:
        gram = problem.variant == "mse"
        return Totals(*on_kernels.sums(problem.for_kernels, problem.counted, gram=gram))
    student = problem.student.attended
    batch, students = student.shape[:2]
    teachers = problem.teacher.attended.shape[1]
    wide = torch.float32 if student.queries.device.type == "mps" else torch.float64
    among = (students, students) if problem.variant == "mse" else (students,)
    shapes = ((teachers, students), among, (teachers,), (teachers,), (students,))
    found = Totals(
        *(student.queries.new_zeros((batch, *shape), dtype=wide) for shape in shapes),
        *(
            student.queries.new_full((batch, count), float(not problem.partial), dtype=wide)
            for count in (teachers, students)
        ),
    )
    workspace = problem.workspace
    for block in problem.blocks:
        _add(found, problem, block, workspace)
    for peaks in (found.teacher_peaks, found.student_peaks):
        peaks.masked_fill_(peaks == 0, 1.0)
    return found


def _add(found: Totals, problem: Problem, block: Block, workspace: Workspace) -> None:
    """The sums of one block, of heads divided by their peaks in it, which float64 holds again."""
    teacher = whole_rows(problem.teacher, block, workspace, "teacher").maps
    student = whole_rows(problem.student, block, workspace, "student").maps
    sizes = []
    for heads, highest in ((teacher, found.teacher_peaks), (student, found.student_peaks)):
        problem.keep_counted(heads, block)
        peaks = highest.new_ones(heads.shape[:2])
        if problem.partial:
            peaks = heads.flatten(2).amax(dim=-1).to(highest.dtype)
            highest[block.samples] = torch.maximum(highest[block.samples], peaks)
            peaks.masked_fill_(peaks == 0, 1.0)
            divide(heads, peaks)
        sizes.append(peaks)
    ours, others = sizes

    def add(total: Tensor, rows: Tensor, size: Tensor) -> None:
        total[block.samples] += rows.sum(dim=1, dtype=total.dtype) * size

    add(found.products, row_products(teacher, student), ours.unsqueeze(-1) * others.unsqueeze(-2))
    add(found.teacher_squares, row_squares(teacher, workspace), ours.square())
    if problem.variant == "mse":
        both = others.unsqueeze(-1) * others.unsqueeze(-2)
        add(found.among, row_products(student, student), both)
        return
    add(found.among, row_squares(student, workspace), others.square())
    add(found.teacher_sums, teacher.sum(dim=-1).transpose(1, 2), ours)
    add(found.student_sums, student.sum(dim=-1).transpose(1, 2), others)


def losses(problem: Problem, found: Totals, *, derivative: bool) -> tuple[Tensor, Tensor | None]:
    """One loss a sample ``[B]``; of ``kl``, ``js`` also ``∂L/∂w`` ``[B, Ht, Hs]`` if asked for."""
    if problem.variant == "mse":
        each, _ = squared_distance(found.aligned(problem.temperature), found.among)
        return each.sum(dim=1).clamp(min=0.0), None  # rounding below 0 is 0
    mixing = found.mixing(problem.temperature) * found.student_peaks.unsqueeze(-2)
    divergence = DIVERGENCES[problem.variant]
    workspace = problem.workspace
    factor = found.student_peaks.unsqueeze(-2) * divergence.factor
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
        target, _, student = _heads(problem, found, block, workspace)
        mixture = mixed(_small(mixing, block, target), student, workspace, "mixture")
        work = (workspace("scores", *target.shape), workspace("work", *target.shape))
        values, slope = divergence.value(target, mixture, work, problem.eps)
        loss[block.samples] += values.flatten(1).sum(dim=1, dtype=loss.dtype)
        if derivative:
            products = row_products(slope, student)
            of_mixing[block.samples] += products.sum(dim=1, dtype=loss.dtype)
    return loss, of_mixing * factor if derivative else None


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
            teacher, rows, student = _heads(problem, found, block, workspace, keep=True)
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
    mixing = mixing * found.student_peaks.unsqueeze(-2)
    if problem.for_kernels is not None:
        _by_kernels(
            problem, found, into, from_teacher=from_teacher, from_student=own[..., 0],
            mixing=mixing, back=back, shift=shift[..., 0],
        )  # fmt: skip
    for block in problem.blocks:
        target, rows, student = _heads(problem, found, block, workspace, keep=True)
        mixture = mixed(_small(mixing, block, target), student, workspace, "mixture")
        work = (workspace("scores", *target.shape), workspace("work", *target.shape))
        slope = divergence.slope(target, mixture, work, problem.eps)
        through = mixed(back[block.samples, None], slope, workspace, "through")
        through = mixed(from_teacher[block.samples, None], target, workspace, onto=through)
        through.addcmul_(student, own[block.samples, :, None])
        through.add_(shift[block.samples, :, None])
        problem.keep_counted(through, block)
        into.add(block, rows, through, workspace)


def _by_kernels(problem: Problem, found: Totals, into: Gradients, **small: Tensor) -> None:
    """The last sweep without blocks."""
    assert problem.for_kernels is not None
    given = problem.for_kernels, problem.counted, found.rows, _sizes(problem, found)
    options: dict[str, Any] = {"variant": problem.variant, "eps": problem.eps, **small}
    for name, gradient in on_kernels.gradients(*given, **options).items():
        if name in into.of:
            into.of[name].copy_(gradient)


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


def _heads(
    problem: Problem, found: Totals, block: Block, workspace: Workspace, *, keep: bool = False
) -> tuple[Tensor, Rows, Tensor]:
    """The teacher's heads, divided by their sizes; the student's rows, and its heads likewise.

    0 where a cell does not count. With ``keep`` the rows stay as they are.
    """
    teacher = whole_rows(problem.teacher, block, workspace, "teacher").maps
    problem.keep_counted(teacher, block)
    if problem.partial or problem.variant != "mse":
        divide(teacher, _teacher_sizes(problem, found)[block.samples])
    rows = whole_rows(problem.student, block, workspace, "student")
    student = rows.maps
    if problem.partial:
        if keep:
            student = workspace("compared", *student.shape).copy_(student)
        problem.keep_counted(student, block)
        divide(student, found.student_peaks[block.samples])
    return teacher, rows, student


def _sizes(problem: Problem, found: Totals) -> tuple[Tensor, Tensor]:
    """What the heads of both models are divided by."""
    return _teacher_sizes(problem, found), found.student_peaks


def _teacher_sizes(problem: Problem, found: Totals) -> Tensor:
    """``|t_i|_1`` where probabilities are compared (eq. 9); 1 for a head of zeros."""
    sizes = found.teacher_peaks if problem.variant == "mse" else found.teacher_sums
    return sizes.where(sizes > 0, 1.0)


def _small(weights: Tensor, block: Block, like: Tensor) -> Tensor:
    """One matrix a sample of the block, in the dtype of the cells."""
    return weights[block.samples, None].to(like.dtype)
