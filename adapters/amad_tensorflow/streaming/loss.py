"""The loss of two models' queries and keys, with its gradient recomputed block by block."""

import math
from collections.abc import Sequence

import tensorflow as tf

from amad_core.arguments.maps import REDUCTIONS, check_eps, check_temperature
from amad_core.arguments.queries_keys import check_at_once, check_streamed, not_finite
from amad_core.arguments.words import check_choice
from amad_tensorflow.attention.inputs import Tensor, tiny
from amad_tensorflow.attention.loss import amad_loss, reduce_batch
from amad_tensorflow.attention.tracing import as_written
from amad_tensorflow.attention.value_checks import reads_values
from amad_tensorflow.attention.variants import VARIANTS
from amad_tensorflow.streaming.built import attention_maps
from amad_tensorflow.streaming.inputs import DIFFERENTIABLE, checked_pair, widened
from amad_tensorflow.streaming.once import Backward, differentiable_once
from amad_tensorflow.streaming.passes import kind_of, passes_of, tensors_of, traced
from amad_tensorflow.streaming.queries_keys import QueriesKeys

BUILT_CELLS = 2**27
"""So many cells of both models' maps are built rather than computed again."""

STREAMED = tuple(name for name, row in VARIANTS.items() if not row.projected)
"""The variants that can be streamed: ``projected`` multiplies whole maps by a learned matrix."""


@as_written
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
    """``amad_loss`` of the maps that queries and keys make, without building large ones.

    Value and gradient are those of ``amad_loss`` of ``softmax(softcap(q kᵀ scale) + bias)`` of both
    models, to the accuracy of the dtype. Rows of probabilities are computed for a block of queries
    at a time, used and dropped, and computed again in the backward pass: extra memory is that of
    the gradients and of one block, linear in the number of tokens, where maps grow with its square.

    Maps that both models' queries and keys make together with at most 134 million cells (half a
    gigabyte in float32) are built all the same, as that is faster, unless ``queries_at_once`` is
    given or a graph does not know how many there are.

    ``mse`` takes one sweep over the blocks forward and one backward, since it follows from the
    products of heads ``C = T Sᵀ`` and ``G = S Sᵀ`` alone; ``kl`` and ``js`` take a further one
    forward, as no cell of the mixture is known before the weights; ``token`` one each. Eagerly, in
    a ``tf.function`` of any lengths, and under XLA, where it is compiled once for each shape.

    Args:
        teacher, student: :class:`QueriesKeys`, or captured layers (:class:`LayerAttention`). Same
            batch, queries and keys; heads, key heads and head sizes may differ. The teacher gets no
            gradient; the student's queries, keys, bias and sinks do.
        variant: ``"mse"``, ``"kl"``, ``"token"`` or ``"js"``, as in ``amad_loss``.
        temperature, reduction, eps: as in ``amad_loss``; for all variants but ``mse`` an ``eps``
            from the smallest normal number to 1.
        mask: boolean, broadcastable to ``[B, Q, K]``, true where a cell counts, as in
            ``amad_loss``; beside what the models themselves do not see. ``None``: all count.
        check_values: raise where the loss is no number: always (``True``), never (``False``), or
            where it costs no device synchronisation (``None``). In a graph, never.
        queries_at_once: queries in a block, at most; ``None``: as many as keep a block of both at
            about four million cells.

    Returns:
        A scalar, or ``[B]`` with ``reduction="none"``; float64 where queries or keys are float64,
        else float32. All sums are in that dtype or a wider one.

    Raises:
        TypeError: maps, or anything else that is no queries and keys; no real floats; a mask that
            is not boolean.
        ValueError: shapes that do not go together, an unknown variant, ``projected``, an option
            that ``amad_loss`` refuses; as far as values are checked, a loss that is NaN.
        RuntimeError: when differentiated twice.

    Source: Zhao et al., "No Head Left Behind", AAAI 2024, eq. 2-9 and 12; blocks that are computed
    again, Dao et al., "FlashAttention", NeurIPS 2022. Guarded by
    tests/streaming/test_tensorflow.py.

    Examples:
        >>> teacher = QueriesKeys(*tf.random.normal([2, 2, 12, 50, 64]))
        >>> queries, keys = tf.random.normal([2, 8, 50, 32]), tf.random.normal([2, 2, 50, 32])
        >>> with tf.GradientTape() as tape:
        ...     tape.watch(queries)
        ...     student = QueriesKeys(queries, keys)  # grouped keys
        ...     loss = amad_loss_from_queries_and_keys(teacher=teacher, student=student)
        >>> tape.gradient(loss, queries).shape
        TensorShape([2, 8, 50, 32])
    """
    check_choice("variant", variant, VARIANTS)
    check_streamed(variant, STREAMED)
    check_choice("reduction", reduction, REDUCTIONS)
    check_temperature(temperature)
    if eps is not None:
        check_eps(eps)
    check_at_once(queries_at_once)
    one, other, counted = checked_pair(teacher, student, mask)
    wide = widened(one, other)
    floor = _floor(eps, variant, wide[1].queries.dtype)
    if queries_at_once is None and _are_few(*wide):
        losses = _of_built_maps(variant, float(temperature), floor, *wide, counted)
    else:
        losses = _losses(variant, float(temperature), floor, queries_at_once, *wide, counted)
    looks = tf.executing_eagerly() and reads_values(losses, check_values)
    if looks and bool(tf.reduce_any(tf.math.is_nan(losses))):
        raise not_finite(_unfinite(one, other))
    return reduce_batch(losses, reduction)


def _floor(eps: float | None, variant: str, dtype: tf.DType) -> float:
    least = tiny(dtype)
    if eps is None:
        return least
    if variant != "mse" and not least <= eps <= 1:
        raise ValueError(
            f"eps must be between {least:.3g}, the smallest normal number, and 1 from queries and "
            f"keys; got {eps!r}: take the amad_loss of maps"
        )
    return float(eps)


def _are_few(*sides: QueriesKeys) -> bool:
    known = [[length for length in side.shape if length is not None] for side in sides]
    return all(len(shape) == 4 for shape in known) and sum(map(math.prod, known)) <= BUILT_CELLS


def _of_built_maps(
    variant: str,
    temperature: float,
    eps: float,
    teacher: QueriesKeys,
    student: QueriesKeys,
    counted: Tensor | None,
) -> Tensor:
    """One loss a sample ``[B]``."""
    return amad_loss(
        teacher=attention_maps(teacher),
        student=attention_maps(student),
        variant=variant,
        temperature=temperature,
        reduction="none",
        mask=counted,
        eps=eps,
        check_values=False,
    )


def _losses(
    variant: str,
    temperature: float,
    eps: float,
    queries_at_once: int | None,
    teacher: QueriesKeys,
    student: QueriesKeys,
    counted: Tensor | None,
) -> Tensor:
    """One loss a sample ``[B]``."""
    kind = kind_of(variant, queries_at_once, teacher, student)
    passes = (traced if tf.executing_eagerly() else passes_of)(kind)
    others = {} if counted is None else {"counted": counted}
    numbers = [tf.constant(one, tf.float64) for one in (temperature, eps)]
    still, given = tensors_of(teacher), tensors_of(student)
    names = [name for name in DIFFERENTIABLE if name in given]

    def loss(*leaves: Tensor) -> tuple[Tensor, Backward]:
        held = {**given, **dict(zip(names, leaves, strict=True))}
        values, kept = passes.forward(still, held, others, *numbers)

        def backward(upstream: Tensor) -> Sequence[Tensor]:
            found = passes.backward(still, held, others, *numbers, kept, upstream)
            return [found[name] for name in names]

        return values, backward

    return differentiable_once(loss, [given[name] for name in names])


def _unfinite(teacher: QueriesKeys, student: QueriesKeys) -> list[str]:
    """Which of the inputs hold what is not finite."""
    return [
        f"{argument}.{name}"
        for argument, side in (("teacher", teacher), ("student", student))
        for name in DIFFERENTIABLE
        if (tensor := getattr(side, name)) is not None
        and not bool(tf.reduce_all(tf.math.is_finite(tensor)))
    ]
