"""The loss of two models' queries and keys, with its gradient, block by block."""

import torch
from torch import Tensor

from amad_core.arguments.maps import REDUCTIONS, check_eps, check_temperature
from amad_core.arguments.queries_keys import check_at_once, check_streamed, not_finite
from amad_core.arguments.words import check_choice
from amad_torch.attention.loss import reduce_batch
from amad_torch.attention.precision import full_precision
from amad_torch.attention.value_checks import reads_values
from amad_torch.attention.variants import VARIANTS
from amad_torch.streaming.function import Options, problem_of, streamed_losses
from amad_torch.streaming.inputs import DIFFERENTIABLE, TENSORS, checked_pair
from amad_torch.streaming.queries_keys import QueriesKeys
from amad_torch.streaming.totals import totals

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
    at a time, used and dropped: extra memory is that of the gradients and of one block, linear in
    the number of tokens, where maps grow with its square, and rows that are used again, as far as
    268 MB go for them and the gradients. On a CPU a thread keeps the memory of blocks and rows for
    its next call. The gradient is made in the forward pass; the backward pass multiplies it.

    ``mse`` takes two sweeps over the blocks, since it follows from the products of heads
    ``C = T Sᵀ`` and ``G = S Sᵀ`` alone; ``kl`` and ``js`` take a further one, as no cell of the
    mixture is known before the weights; ``token`` one.

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
        queries_at_once: queries in a block; ``None``: on a CPU about 128, or as many as keep a
            block of both models below four million cells; elsewhere 67 million.

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
    options = Options(variant, float(temperature), eps, queries_at_once)
    losses = streamed_losses(options, one, other, counted)
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
    options = Options("mse", float(temperature), None, queries_at_once)
    tensors = [getattr(side, name) for side in (one, other) for name in TENSORS]
    with full_precision(other.queries):
        problem = problem_of(options, (one, other), counted, tensors, None)
        weights = totals(problem).aligned(options.temperature).weights
        return weights.to(problem.student.attended.queries.dtype)


def _unfinite(teacher: QueriesKeys, student: QueriesKeys) -> list[str]:
    """Which of the inputs hold what is not finite."""
    return [
        f"{argument}.{name}"
        for argument, side in (("teacher", teacher), ("student", student))
        for name in DIFFERENTIABLE
        if (tensor := getattr(side, name)) is not None and not bool(torch.isfinite(tensor).all())
    ]
