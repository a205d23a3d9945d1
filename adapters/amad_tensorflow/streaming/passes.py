"""Forward and backward passes as functions of tensors alone, in a graph as in an eager call.

Guarded by tests/streaming/test_tensorflow.py.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import tensorflow as tf

from amad_tensorflow.attention.inputs import Tensor
from amad_tensorflow.attention.tracing import as_written
from amad_tensorflow.closed_form.losses import of_heads
from amad_tensorflow.closed_form.options import Options
from amad_tensorflow.streaming.heads import StreamedHeads
from amad_tensorflow.streaming.inputs import TENSORS
from amad_tensorflow.streaming.queries_keys import QueriesKeys

GRAPHS = 64
"""So many graphs are kept for eager calls: one a variant and kind of attention of both models."""

Tensors = dict[str, Tensor]


class Passes(NamedTuple):
    """Forward and backward as functions of tensors alone."""

    forward: Callable[..., Any]
    backward: Callable[..., Any]


class Kind(NamedTuple):
    """All that is no tensor: what one graph is for."""

    variant: str
    queries_at_once: int | None
    sides: tuple[tuple[tuple[str, Any], ...], ...]


def kind_of(variant: str, queries_at_once: int | None, *sides: QueriesKeys) -> Kind:
    """Of an evaluation."""
    return Kind(variant, queries_at_once, tuple(_plain(side) for side in sides))


def _plain(attended: QueriesKeys) -> tuple[tuple[str, Any], ...]:
    names = ("scale", "softcap", "in_empty_rows", "causal", "window")
    return tuple((name, _hashable(getattr(attended, name))) for name in names)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def tensors_of(attended: QueriesKeys) -> Tensors:
    """Those that there are, by name."""
    found = {name: getattr(attended, name) for name in TENSORS}
    return {name: value for name, value in found.items() if value is not None}


def passes_of(kind: Kind) -> Passes:
    """As they are called inside a graph."""

    def heads(teacher: Tensors, student: Tensors, others: Tensors) -> StreamedHeads:
        one, other = (
            QueriesKeys(**tensors, **dict(plain))
            for tensors, plain in zip((teacher, student), kind.sides, strict=True)
        )
        return StreamedHeads(
            one,
            other,
            others.get("counted"),
            in_rows=kind.variant == "token",
            queries_at_once=kind.queries_at_once,
        )

    def forward(
        teacher: Tensors, student: Tensors, others: Tensors, temperature: Tensor, eps: Tensor
    ) -> Any:
        options = Options(kind.variant, temperature, eps, at_once=False)
        return of_heads(options).forward(heads(teacher, student, others), options)

    def backward(
        teacher: Tensors, student: Tensors, others: Tensors, temperature: Tensor, eps: Tensor,
        kept: Any, upstream: Tensor,
    ) -> Any:  # fmt: skip
        options = Options(kind.variant, temperature, eps, at_once=False)
        given = heads(teacher, student, others)
        return of_heads(options).backward(given, options, kept, upstream)

    return Passes(forward, backward)


@lru_cache(GRAPHS)
def traced(kind: Kind) -> Passes:
    """As graphs, for eager calls."""
    return Passes(*(tf.function(as_written(one), reduce_retracing=True) for one in passes_of(kind)))
