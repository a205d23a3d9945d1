"""Sums over all cells, a block at a time: what the weights of whole maps follow from (eq. 2).

Guarded by tests/streaming/test_against_maps.py.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from amad_torch.closed_form.gram import Alignment, alignment, inverse
from amad_torch.streaming import on_kernels
from amad_torch.streaming.blocks import Block
from amad_torch.streaming.heads import divided, row_products, row_squares
from amad_torch.streaming.problem import Problem


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
    for block in problem.blocks:
        _add(found, problem, block)
    for peaks in (found.teacher_peaks, found.student_peaks):
        peaks.masked_fill_(peaks == 0, 1.0)
    return found


def _add(found: Totals, problem: Problem, block: Block) -> None:
    """The sums of one block, of heads divided by their peaks in it, which float64 holds again."""
    heads = problem.compared(problem.rows(block).maps, block, None)
    sizes = found.products.new_ones(heads.shape[:2])
    if problem.partial:
        sizes = heads.flatten(2).amax(dim=-1).to(sizes.dtype)
        both = found.teacher_peaks, found.student_peaks
        for highest, here in zip(both, problem.by_model(sizes), strict=True):
            highest[block.samples] = torch.maximum(highest[block.samples], here)
        sizes.masked_fill_(sizes == 0, 1.0)
        heads = divided(heads, sizes, problem.workspace("compared", *heads.shape))
    teacher, student = problem.by_model(heads)
    ours, others = problem.by_model(sizes)

    def summed(rows: Tensor, size: Tensor) -> Tensor:
        return rows.sum(dim=1, dtype=size.dtype) * size

    def add(totals: tuple[Tensor, Tensor], sums: Tensor) -> None:
        for total, part in zip(totals, problem.by_model(sums), strict=True):
            total[block.samples] += part

    if problem.variant == "mse":
        products = summed(row_products(heads, student), sizes.unsqueeze(-1) * others.unsqueeze(-2))
        add((found.products, found.among), products)
        found.teacher_squares[block.samples] += summed(row_squares(teacher), ours.square())
        return
    products = summed(row_products(teacher, student), ours.unsqueeze(-1) * others.unsqueeze(-2))
    found.products[block.samples] += products
    add((found.teacher_squares, found.among), summed(row_squares(heads), sizes.square()))
    add((found.teacher_sums, found.student_sums), summed(heads.sum(dim=-1).transpose(1, 2), sizes))
