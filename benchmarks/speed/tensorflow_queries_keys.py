"""The loss from queries and keys in a TensorFlow graph, beside what builds both models' maps."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import tensorflow as tf

from amad_tensorflow import QueriesKeys, amad_loss_from_queries_and_keys
from amad_tensorflow.streaming.blocks import CELLS
from benchmarks.speed.cases import OURS, STREAMED, Case

SIZE = 64
"""Of a head."""


def inputs_of(case: Case) -> list[Any]:
    """Teacher's queries and keys, and the student's."""
    heads = case.teacher_heads, case.teacher_heads, case.student_heads, case.student_heads
    return [
        tf.random.stateless_normal([case.batch, count, case.tokens, SIZE], [seed, case.tokens])
        for seed, count in enumerate(heads)
    ]


def step_of(name: str, case: Case, of_maps: Mapping[str, Any]) -> Any:
    """One forward and one backward pass of a peer, as a graph; losses of maps by their peers."""
    heads = case.teacher_heads + case.student_heads
    at_once = max(1, CELLS // (heads * case.tokens))  # as it is where maps are too many to be built
    streamed = partial(_ours, queries_at_once=at_once)
    losses: dict[str, Any] = {OURS: _ours, STREAMED: streamed}
    losses |= {peer: partial(_built, loss) for peer, loss in of_maps.items()}
    if name not in losses:
        raise ValueError(f"no peer of the loss from queries and keys is called {name!r}")

    def step(*inputs: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(inputs[2:])
            value = losses[name](inputs, case.variant)
        both = tape.gradient(value, inputs[2:])
        return value, tf.concat([tf.reshape(one, [-1]) for one in both], axis=0)

    return tf.function(step)


def _built(loss: Callable[..., Any], inputs: Sequence[Any], variant: str) -> Any:
    return loss(_maps(*inputs[:2]), _maps(*inputs[2:]), variant)


def _ours(inputs: Sequence[Any], variant: str, queries_at_once: int | None = None) -> Any:
    return amad_loss_from_queries_and_keys(
        teacher=QueriesKeys(*inputs[:2]),
        student=QueriesKeys(*inputs[2:]),
        variant=variant,
        queries_at_once=queries_at_once,
    )


def _maps(queries: Any, keys: Any) -> Any:
    return tf.nn.softmax(tf.matmul(queries, keys, transpose_b=True) * SIZE**-0.5)
