"""The variant that compares query rows, each on its own (eq. 12): every block by itself.

A row's weights follow from the products of its own cells, so one sweep gives the loss and, while
the rows are there, its gradient: ``dS = aᵀ ∂L/∂m`` and what comes through ``a``. Rows that are
divided by their sums are a softmax over the cells that count (``counted_rows``): the division needs
no derivative of its own. Guarded by tests/streaming/test_against_maps.py.
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


def losses(problem: Problem, into: Gradients | None) -> Tensor:
    """One loss a sample, ``[B]``; its gradient is added ``into`` what wants it."""
    found = problem.student.attended.queries.new_zeros(problem.student.attended.shape[0])
    divergence = DIVERGENCES[problem.variant]
    for block in problem.blocks:
        compared = _compared(problem, block, problem.workspace)
        values, slope = divergence.value(
            compared.teacher, compared.mixture, compared.work, problem.eps
        )
        found[block.samples] += values.flatten(1).sum(dim=1)
        if into is not None:
            _add_gradient(problem, block, compared, slope, None, into)
    return found


def add_gradients(problem: Problem, upstream: Tensor, into: Gradients) -> None:
    """What ``upstream`` ``[B]`` makes of the loss, added block by block."""
    divergence = DIVERGENCES[problem.variant]
    for block in problem.blocks:
        compared = _compared(problem, block, problem.workspace)
        slope = divergence.slope(compared.teacher, compared.mixture, compared.work, problem.eps)
        share = upstream[block.samples, None, None, None].to(into.dtype)
        _add_gradient(problem, block, compared, slope, share, into)


def _add_gradient(
    problem: Problem,
    block: Block,
    compared: _Compared,
    slope: Tensor,
    share: Tensor | None,
    into: Gradients,
) -> None:
    workspace, factor = problem.workspace, DIVERGENCES[problem.variant].factor
    teacher, rows, aligned = compared.teacher, compared.rows, compared.aligned
    by_weight = row_products(slope, rows.maps) * factor
    by_heads = through_weights(aligned, by_weight)
    terms = sum(aligned.weights.shape[-2:])
    back, from_teacher, own = aligned.weights.mT * factor, *by_heads
    if share is not None:
        back, from_teacher, own = back * share, from_teacher * share, own * share[..., 0]
    through = workspace("through", *rows.maps.shape).zero_()
    mixed(back, slope, workspace, onto=through)
    through = mixed(narrowed(from_teacher, into.dtype, terms), teacher, workspace, onto=through)
    own = narrowed(own, into.dtype, terms)
    through.addcmul_(rows.maps, own.transpose(1, 2).unsqueeze(-1))
    into.add(block, rows, through)


def _compared(problem: Problem, block: Block, workspace: Workspace) -> _Compared:
    counted = problem.counted_in(block)
    teacher = counted_rows(problem.teacher, block, counted, workspace, "teacher").maps
    rows = counted_rows(problem.student, block, counted, workspace, "student")
    squares = row_squares(teacher), row_squares(rows.maps)
    products = row_products(teacher, rows.maps)
    aligned = alignment(products, *squares, problem.temperature)
    # Laid out as the heads are: what lies otherwise in memory is slow to combine with them.
    mixture = workspace("mixture", *teacher.shape)
    mixed(aligned.weights, rows.maps, workspace, onto=mixture.zero_())
    work = workspace("scores", *teacher.shape), workspace("work", *teacher.shape)
    return _Compared(teacher, rows, aligned, mixture, work)
