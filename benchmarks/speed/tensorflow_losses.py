"""The loss in TensorFlow: graphs, XLA and eager, beside the straightforward port in each."""

import os
from collections.abc import Callable
from functools import cache, partial
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from amad_tensorflow import amad_loss
from benchmarks.speed import memory
from benchmarks.speed import tensorflow_queries_keys as queries_keys
from benchmarks.speed.cases import BUILT, BUILT_PORT, OURS, PORT, STREAMED, Case
from benchmarks.speed.timing import Turn, first, interleaved

Loss = Callable[[Any, Any], Any]


def measured(case: Case, *, threads: int, **effort: Any) -> dict[str, Any]:
    """Seconds of each peer, and how far our gradients are from the port's; or its memory."""
    if case.group == "memory":
        return memory.measured(case, threads=threads)
    turns = turns_of(case, threads)
    gradients = first(turns)
    found: dict[str, Any] = {"seconds": interleaved(turns, **effort)}
    found["errors"] = {
        name: float(tf.norm(gradient - port) / tf.norm(port))
        for name, gradient in gradients.items()
        if name.startswith((OURS, STREAMED)) and (port := _port_of(name, gradients)) is not None
    }
    return found


def turns_of(case: Case, threads: int) -> dict[str, Turn]:
    """One forward and one backward pass of each peer."""
    _with_threads(threads)
    make, inputs = _of_group(case)
    return {name: partial(_run, make(name), inputs) for name in case.peers}


def _of_group(case: Case) -> tuple[Callable[[str], Callable[..., Any]], list[Any]]:
    """What makes a peer's step, and what it is called with."""
    if case.group in ("queries and keys", "memory"):
        losses = {BUILT: ours, BUILT_PORT: port}
        return lambda name: queries_keys.step_of(name, case, losses), queries_keys.inputs_of(case)
    both = enumerate((case.teacher_heads, case.student_heads))
    return lambda name: _step_of(name, case), [_maps(case, heads, seed) for seed, heads in both]


def _port_of(name: str, gradients: dict[str, Any]) -> Any:
    return gradients.get(BUILT_PORT if name in (OURS, STREAMED) else name.replace(OURS, PORT))


@cache
def _with_threads(threads: int) -> None:
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    tf.config.threading.set_intra_op_parallelism_threads(threads)


def _run(step: Callable[..., Any], inputs: list[Any]) -> Any:
    value, gradient = step(*inputs)
    value.numpy()  # waits for it
    return gradient


def _step_of(name: str, case: Case) -> Loss:
    whose, _, way = name.partition(", ")
    losses = {OURS: ours, PORT: port}
    if whose not in losses or way not in ("graph", "XLA", "eager"):
        raise ValueError(f"no peer of the loss in TensorFlow is called {name!r}")
    step = _step(partial(losses[whose], variant=case.variant))
    return step if way == "eager" else tf.function(step, jit_compile=way == "XLA")


def _step(loss: Loss) -> Loss:
    """One forward and one backward pass."""

    def run(teacher: Any, student: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(student)
            value = loss(teacher, student)
        return value, tape.gradient(value, student)

    return run


def port(teacher: Any, student: Any, variant: str) -> Any:
    """The loss as it is written in ten lines; ``+ 1e-12`` stands for the care that it takes."""
    if variant == "token":
        t, s = tf.transpose(teacher, [0, 2, 1, 3]), tf.transpose(student, [0, 2, 1, 3])
    else:
        t, s = (tf.reshape(one, [*one.shape[:2], -1]) for one in (teacher, student))
    unit_t, unit_s = tf.math.l2_normalize(t, axis=-1), tf.math.l2_normalize(s, axis=-1)
    weights = tf.nn.softmax(tf.matmul(unit_t, unit_s, transpose_b=True))
    batch = teacher.shape[0]
    if variant == "mse":
        return tf.reduce_sum(tf.square(unit_t - tf.matmul(weights, unit_s))) / batch
    p, q = (one / tf.reduce_sum(one, axis=-1, keepdims=True) for one in (t, s))
    mixture = tf.matmul(weights, q)
    if variant == "js":
        half = (p + mixture) / 2
        cells = (_kl_cells(p, half) + _kl_cells(mixture, half)) / 2
    else:
        cells = _kl_cells(p, mixture)
    return tf.reduce_sum(cells) / batch


def _kl_cells(p: Any, q: Any) -> Any:
    return p * (tf.math.log(p + 1e-12) - tf.math.log(q + 1e-12))


def ours(teacher: Any, student: Any, variant: str) -> Any:
    """The public loss."""
    return amad_loss(teacher=teacher, student=student, variant=variant)


def _maps(case: Case, heads: int, seed: int) -> Any:
    shape = [case.batch, heads, case.tokens, case.tokens]
    return tf.nn.softmax(2 * tf.random.stateless_normal(shape, [seed, case.tokens]))
