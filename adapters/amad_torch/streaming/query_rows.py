"""The variant that compares query rows, each on its own (eq. 12): every block by itself.

A row's weights follow from the products of its own cells, so one sweep gives the loss and one its
gradient: ``dS = aᵀ ∂L/∂m`` and what comes through ``a``. Rows that are divided by their sums are a
softmax over the cells that count (``counted_rows``): the division needs no derivative of its own.
Guarded by tests/streaming/test_against_maps.py.
"""

from typing import NamedTuple

from torch import Tensor

from amad_torch.closed_form.cells import DIVERGENCES
from amad_torch.closed_form.gram import Alignment, alignment, narrowed, through_weights
from amad_torch.closed_form.workspace import Workspace
from amad_torch.streaming.blocks import Block
from amad_torch.streaming.derivatives import Gradients
from amad_torch.streaming.heads import mixed, row_products, row_squares
from amad_torch.streaming.problem import Problem
from amad_torch.streaming.rows import Rows, counted_rows


class _Compared(NamedTuple):
    """A block's rows, what they are aligned by ``[b, q, ...]``, and their mixtures."""

    teacher: Tensor
    rows: Rows
    aligned: Alignment
    mixture: Tensor
    work: tuple[Tensor, Tensor]


def losses(problem: Problem) -> Tensor:
    """One loss a sample, ``[B]``."""
    found = problem.student.attended.queries.new_zeros(problem.student.attended.shape[0])
    divergence, workspace = DIVERGENCES[problem.variant], problem.workspace
    for block in problem.blocks:
        teacher, _, _, mixture, work = _compared(problem, block, workspace)
        values, _ = divergence.value(teacher, mixture, work, problem.eps)
        found[block.samples] += values.flatten(1).sum(dim=1)
    return found


def add_gradients(problem: Problem, upstream: Tensor, into: Gradients) -> None:
    """What ``upstream`` ``[B]`` makes of the loss, added block by block."""
    divergence, workspace = DIVERGENCES[problem.variant], problem.workspace
    for block in problem.blocks:
        teacher, rows, aligned, mixture, work = _compared(problem, block, workspace)
        slope = divergence.slope(teacher, mixture, work, problem.eps)
        share = upstream[block.samples, None, None, None].to(into.dtype)
        by_weight = row_products(slope, rows.maps) * divergence.factor
        by_heads = through_weights(aligned, by_weight)
        terms = sum(aligned.weights.shape[-2:])
        back = aligned.weights.mT * (share * divergence.factor)
        from_teacher = narrowed(by_heads.from_teacher * share, into.dtype, terms)
        through = mixed(back, slope, workspace, "through")
        through = mixed(from_teacher, teacher, workspace, onto=through)
        own = narrowed(by_heads.from_student * share[..., 0], into.dtype, terms)
        through.addcmul_(rows.maps, own.transpose(1, 2).unsqueeze(-1))
        into.add(block, rows, through, workspace)


def _compared(problem: Problem, block: Block, workspace: Workspace) -> _Compared:
    counted = problem.counted_in(block)
    teacher = counted_rows(problem.teacher, block, counted, workspace, "teacher").maps
    rows = counted_rows(problem.student, block, counted, workspace, "student")
    squares = row_squares(teacher, workspace), row_squares(rows.maps, workspace)
    products = row_products(teacher, rows.maps)
    aligned = alignment(products, *squares, problem.temperature)
    # Laid out as the heads are: what lies otherwise in memory is slow to combine with them.
    mixture = workspace("mixture", *teacher.shape)
    mixed(aligned.weights, rows.maps, workspace, onto=mixture.zero_())
    work = workspace("scores", *teacher.shape), workspace("work", *teacher.shape)
    return _Compared(teacher, rows, aligned, mixture, work)
