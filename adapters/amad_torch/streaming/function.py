"""One loss a sample as a function of autograd, with its gradient made in the forward pass.

While rows of probabilities are there, the gradient costs least; the backward pass multiplies it.
Guarded by tests/streaming/test_autograd.py and test_memory.py.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from amad_torch.attention.precision import full_precision
from amad_torch.attention.saved import kept_by_autograd
from amad_torch.attention.untraced import untraced
from amad_torch.closed_form.workspace import kept_workspace
from amad_torch.streaming import on_kernels, query_rows, whole_maps
from amad_torch.streaming.blocks import Block, blocks
from amad_torch.streaming.derivatives import Gradients, by_sample, finished
from amad_torch.streaming.inputs import TENSORS, sides
from amad_torch.streaming.problem import Problem
from amad_torch.streaming.queries_keys import QueriesKeys
from amad_torch.streaming.totals import Totals, totals


class Options(NamedTuple):
    """What is fixed in one evaluation, as in ``amad_loss_from_queries_and_keys``."""

    variant: str
    temperature: float
    eps: float | None
    queries_at_once: int | None


@untraced  # blocks are chosen by looking at masks
def streamed_losses(
    options: Options, teacher: QueriesKeys, student: QueriesKeys, counted: Tensor | None
) -> Tensor:
    """``[B]``, of checked inputs."""
    tensors = [getattr(side, name) for side in (teacher, student) for name in TENSORS]
    tensors = [None if one is None else kept_by_autograd(one) for one in tensors]
    counted = None if counted is None else kept_by_autograd(counted)
    nothing: dict[str, Any] = dict.fromkeys(TENSORS)
    empty = [replace(side, **nothing) for side in (teacher, student)]
    found: Tensor = _Streamed.apply(options, *empty, counted, *tensors)  # type: ignore[no-untyped-call]
    return found


class _Streamed(torch.autograd.Function):
    """Saves the gradient for an upstream of 1, or its inputs and sums; nothing as large as a map.

    The gradient is made in the forward pass, while rows are there: backward only multiplies each
    sample's. Where samples share what is learned, and on kernels, it is made in the backward pass.
    """

    @staticmethod
    def forward(
        ctx: Any,
        options: Options,
        teacher: QueriesKeys,
        student: QueriesKeys,
        counted: Tensor | None,
        *tensors: Tensor | None,
    ) -> Tensor:
        problem = problem_of(options, (teacher, student), counted, tensors, None)
        wanted = _wanted(ctx)
        gradients: Gradients | None = None
        kept: tuple[Tensor | None, ...] = ()
        if wanted and not problem.for_kernels and by_sample(problem.student, wanted):
            gradients = Gradients(problem.student, wanted)
        problem = problem.keeping(gradients=gradients is not None)
        with full_precision(problem.student.attended.queries):
            if options.variant == "token":
                losses = query_rows.losses(problem, gradients)
            else:
                found = totals(problem)
                losses, of_weights = whole_maps.losses(problem, found, derivative=bool(wanted))
                if gradients is not None:
                    ones = torch.ones_like(losses)
                    whole_maps.add_gradients(problem, found, of_weights, ones, gradients)
                kept = (*found, of_weights)
        ctx.options, ctx.sides, ctx.blocks = options, (teacher, student), problem.blocks
        ctx.made = wanted if gradients is not None else None
        if gradients is not None:  # nothing else is needed then
            counted, kept = None, tuple(gradients.of[name] for name in wanted)
            learned = zip(TENSORS, tensors[len(TENSORS) :], strict=True)
            own = [tensor if name in wanted else None for name, tensor in learned]
            tensors = (*[None] * len(TENSORS), *own)
        ctx.save_for_backward(counted, *tensors, *kept)
        return losses.to(problem.student.attended.queries.dtype)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        counted, *saved = ctx.saved_tensors
        tensors, kept = saved[: 2 * len(TENSORS)], saved[2 * len(TENSORS) :]
        wanted = _wanted(ctx)
        given = dict(zip(TENSORS, tensors[len(TENSORS) :], strict=True))
        with torch.no_grad(), full_precision(upstream):
            if ctx.made:
                made = dict(zip(ctx.made, kept, strict=True))
                share: Tensor | None = upstream
            else:
                problem = problem_of(ctx.options, ctx.sides, counted, tensors, ctx.blocks)
                gradients = Gradients(problem.student, wanted)
                if ctx.options.variant == "token":
                    query_rows.add_gradients(problem, upstream, gradients)
                else:
                    found = Totals(*kept[:-1])
                    whole_maps.add_gradients(problem, found, kept[-1], upstream, gradients)
                made, share = gradients.of, None
            found_gradients = [
                finished(name, made[name], share).to(given[name].dtype) for name in wanted
            ]
        if torch.is_grad_enabled():
            leaves = [given[name] for name in wanted]
            again = (*found_gradients, *leaves, upstream)
            found_gradients = _Once.apply(len(wanted), *again)  # type: ignore[no-untyped-call]
        by_name = dict(zip(wanted, found_gradients, strict=True))
        return (*[None] * (4 + len(TENSORS)), *(by_name.get(name) for name in TENSORS))

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:
        raise RuntimeError(
            "amad_loss_from_queries_and_keys cannot be differentiated in forward mode: take "
            "gradients with backward() or torch.autograd.grad, or the amad_loss of maps"
        )


def _wanted(ctx: Any) -> list[str]:
    """The student's tensors that get a gradient."""
    needed = ctx.needs_input_grad[-len(TENSORS) :]
    return [name for name, needs in zip(TENSORS, needed, strict=True) if needs]


class _Once(torch.autograd.Function):
    """Gradients as they are, which say what is the matter when they are differentiated again."""

    @staticmethod
    def forward(ctx: Any, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(gradient.view_as(gradient) for gradient in tensors[:count])

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Any:
        raise RuntimeError(
            "amad_loss_from_queries_and_keys has no second derivative: take the amad_loss of maps "
            "(attention_maps of a captured layer: layer.maps), or leave create_graph out"
        )


def problem_of(
    options: Options,
    records: Sequence[QueriesKeys],
    counted: Tensor | None,
    tensors: Sequence[Tensor | None],
    cut: list[Block] | None,
) -> Problem:
    """The inputs, put together again and widened; cut into blocks where they are not yet."""
    half = len(TENSORS)
    parts: list[dict[str, Any]] = [
        dict(zip(TENSORS, part, strict=True)) for part in (tensors[:half], tensors[half:])
    ]
    one, other = (replace(record, **part) for record, part in zip(records, parts, strict=True))
    served = not cut and on_kernels.taken(one, other, options.variant)
    given = (one, other) if served else None
    teacher, student = sides(one, other)
    dtype = student.attended.queries.dtype
    eps = torch.finfo(dtype).tiny if options.eps is None else float(options.eps)
    if cut is None and given is None:
        cut = blocks(teacher, student, counted, options.queries_at_once)
    workspace = kept_workspace(student.attended.queries, dtype)
    return Problem(
        teacher,
        student,
        options.variant,
        options.temperature,
        eps,
        counted,
        cut or [],
        workspace,
        for_kernels=given,
    )
