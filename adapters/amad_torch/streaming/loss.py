"""The loss of two models' queries and keys, with its gradient recomputed block by block."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from amad_core.arguments.maps import REDUCTIONS, check_eps, check_temperature
from amad_core.arguments.queries_keys import check_at_once, check_streamed, not_finite
from amad_core.arguments.words import check_choice
from amad_torch.attention.loss import reduce_batch
from amad_torch.attention.precision import full_precision
from amad_torch.attention.value_checks import reads_values
from amad_torch.attention.variants import VARIANTS
from amad_torch.closed_form.workspace import Workspace
from amad_torch.streaming import on_kernels, query_rows, whole_maps
from amad_torch.streaming.blocks import Block, blocks
from amad_torch.streaming.derivatives import Gradients
from amad_torch.streaming.inputs import DIFFERENTIABLE, TENSORS, checked_pair, sides
from amad_torch.streaming.problem import Problem
from amad_torch.streaming.queries_keys import QueriesKeys

STREAMED = tuple(name for name, row in VARIANTS.items() if not row.projected)
"""The variants that can be streamed: ``projected`` multiplies whole maps by a learned matrix."""


def amad_loss_from_queries_and_keys(
    *,
    teacher: object,
    student: object,
    variant: str = "mse",
    temperature: float = 1.0,
    reduction: str = "mean",
    mask: Tensor | None = None,
    eps: float | None = None,
    check_values: bool | None = None,
    queries_at_once: int | None = None,
) -> Tensor:
    """``amad_loss`` of the maps that queries and keys make, without ever building a map.

    Value and gradient are those of ``amad_loss`` of ``softmax(softcap(q kᵀ scale) + bias)`` of both
    models, to the accuracy of the dtype. Rows of probabilities are computed for a block of queries
    at a time, used and dropped, and computed again in the backward pass: extra memory is that of
    the gradients and of one block, linear in the number of tokens, where maps grow with its square.

    ``mse`` takes one sweep over the blocks forward and one backward, since it follows from the
    products of heads ``C = T Sᵀ`` and ``G = S Sᵀ`` alone; ``kl`` and ``js`` take a further one
    forward, as no cell of the mixture is known before the weights; ``token`` one each.

    Args:
        teacher, student: :class:`QueriesKeys`, or captured layers (:class:`LayerAttention`). Same
            batch, queries and keys; heads, key heads and head sizes may differ. The teacher gets no
            gradient; the student's queries, keys, bias and sinks do.
        variant: ``"mse"``, ``"kl"``, ``"token"`` or ``"js"``, as in ``amad_loss``.
        temperature, reduction, eps: as in ``amad_loss``.
        mask: boolean, broadcastable to ``[B, Q, K]``, true where a cell counts, as in
            ``amad_loss``; beside what the models themselves do not see. ``None``: all count.
        check_values: raise where the loss is no number: always (``True``), never (``False``), or
            where it costs no device synchronisation (``None``).
        queries_at_once: queries in a block; ``None``: as many as keep a block of both models at
            about four million cells on a CPU, 67 million elsewhere.

    Returns:
        A scalar, or ``[B]`` with ``reduction="none"``; float64 where queries or keys are float64,
        else float32. All sums are in that dtype or a wider one, under autocast too.

    Raises:
        TypeError: maps, or anything else that is no queries and keys; no real floats; a mask that
            is not boolean.
        ValueError: shapes that do not go together, an unknown variant, ``projected``, an option
            that ``amad_loss`` refuses; as far as values are checked, a loss that is NaN.
        RuntimeError: inside ``torch.func`` (``vmap``, ``grad``); when differentiated twice.

    Under ``torch.compile`` the graph breaks here, and the loss runs uncompiled. The difference that
    ``mse`` is of numbers of size 1 has their error, however small it is.

    Source: Zhao et al., "No Head Left Behind", AAAI 2024, eq. 2-9 and 12; blocks that are computed
    again, Dao et al., "FlashAttention", NeurIPS 2022. Guarded by tests/streaming/.

    Examples:
        >>> teacher = QueriesKeys(torch.randn(2, 12, 50, 64), torch.randn(2, 12, 50, 64))
        >>> queries = torch.randn(2, 8, 50, 32, requires_grad=True)
        >>> student = QueriesKeys(queries, torch.randn(2, 2, 50, 32))  # grouped keys
        >>> loss = amad_loss_from_queries_and_keys(teacher=teacher, student=student, variant="kl")
        >>> loss.backward()
        >>> queries.grad.shape
        torch.Size([2, 8, 50, 32])
    """
    check_choice("variant", variant, VARIANTS)
    check_streamed(variant, STREAMED)
    check_choice("reduction", reduction, REDUCTIONS)
    check_temperature(temperature)
    if eps is not None:
        check_eps(eps)
    check_at_once(queries_at_once)
    if torch._C._are_functorch_transforms_active():
        raise RuntimeError(
            "amad_loss_from_queries_and_keys cannot be transformed by torch.func (vmap, grad): "
            "take gradients with backward() or torch.autograd.grad, or the amad_loss of maps"
        )
    one, other, counted = checked_pair(teacher, student, mask)
    options = _Options(variant, float(temperature), eps, queries_at_once)
    losses = _streamed(options, one, other, counted)
    if reads_values(losses, check_values) and bool(losses.isnan().any()):
        raise not_finite(_unfinite(one, other))
    return reduce_batch(losses, reduction)


@torch.no_grad()
def alignment_from_queries_and_keys(
    *,
    teacher: object,
    student: object,
    temperature: float = 1.0,
    mask: Tensor | None = None,
    queries_at_once: int | None = None,
) -> Tensor:
    """``alignment_weights`` (eq. 2) likewise, ``[B, Ht, Hs]``, without gradients."""
    check_temperature(temperature)
    one, other, counted = checked_pair(teacher, student, mask)
    options = _Options("mse", float(temperature), None, queries_at_once)
    tensors = [getattr(side, name) for side in (one, other) for name in TENSORS]
    with full_precision(other.queries):
        problem = _problem(options, (one, other), counted, tensors, None)
        weights = whole_maps.totals(problem).aligned(options.temperature).weights
        return weights.to(problem.student.attended.queries.dtype)


class _Options(NamedTuple):
    variant: str
    temperature: float
    eps: float | None
    queries_at_once: int | None


@torch.compiler.disable  # type: ignore[untyped-decorator]  # blocks are chosen by looking at masks
def _streamed(
    options: _Options, teacher: QueriesKeys, student: QueriesKeys, counted: Tensor | None
) -> Tensor:
    tensors = [getattr(side, name) for side in (teacher, student) for name in TENSORS]
    nothing: dict[str, Any] = dict.fromkeys(TENSORS)
    empty = [replace(side, **nothing) for side in (teacher, student)]
    found: Tensor = _Streamed.apply(options, *empty, counted, *tensors)  # type: ignore[no-untyped-call]
    return found


class _Streamed(torch.autograd.Function):
    """Saves its inputs and sums over cells, nothing of the size of a map."""

    @staticmethod
    def forward(
        ctx: Any,
        options: _Options,
        teacher: QueriesKeys,
        student: QueriesKeys,
        counted: Tensor | None,
        *tensors: Tensor | None,
    ) -> Tensor:
        problem = _problem(options, (teacher, student), counted, tensors, None)
        ctx.options, ctx.sides, ctx.blocks = options, (teacher, student), problem.blocks
        derivative = any(ctx.needs_input_grad)
        kept: tuple[Tensor | None, ...] = ()
        with full_precision(problem.student.attended.queries):
            if options.variant == "token":
                losses = query_rows.losses(problem)
            else:
                found = whole_maps.totals(problem)
                losses, of_weights = whole_maps.losses(problem, found, derivative=derivative)
                kept = (*found, of_weights)
        ctx.save_for_backward(counted, *tensors, *kept)
        return losses.to(problem.student.attended.queries.dtype)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        counted, *saved = ctx.saved_tensors
        tensors, kept = saved[: 2 * len(TENSORS)], saved[2 * len(TENSORS) :]
        needed = ctx.needs_input_grad[-len(TENSORS) :]
        wanted = [name for name, needs in zip(TENSORS, needed, strict=True) if needs]
        with torch.no_grad(), full_precision(upstream):
            problem = _problem(ctx.options, ctx.sides, counted, tensors, ctx.blocks)
            gradients = Gradients(problem.student, wanted)
            if ctx.options.variant == "token":
                query_rows.add_gradients(problem, upstream, gradients)
            else:
                found = whole_maps.Totals(*kept[:-1])
                whole_maps.add_gradients(problem, found, kept[-1], upstream, gradients)
            given = dict(zip(TENSORS, tensors[len(TENSORS) :], strict=True))
            found_gradients = [gradients.of[name].to(given[name].dtype) for name in wanted]
        if torch.is_grad_enabled():
            leaves = [given[name] for name in wanted]
            again = (*found_gradients, *leaves, upstream)
            found_gradients = _Once.apply(len(wanted), *again)  # type: ignore[no-untyped-call]
        by_name = dict(zip(wanted, found_gradients, strict=True))
        return (*[None] * (4 + len(TENSORS)), *(by_name.get(name) for name in TENSORS))


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


def _problem(
    options: _Options,
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
    workspace = Workspace(student.attended.queries, dtype)
    return Problem(
        teacher,
        student,
        options.variant,
        options.temperature,
        eps,
        counted,
        cut or [],
        workspace,
        given,
    )


def _unfinite(teacher: QueriesKeys, student: QueriesKeys) -> list[str]:
    """Which of the inputs hold what is not finite."""
    return [
        f"{argument}.{name}"
        for argument, side in (("teacher", teacher), ("student", student))
        for name in DIFFERENTIABLE
        if (tensor := getattr(side, name)) is not None and not bool(torch.isfinite(tensor).all())
    ]
