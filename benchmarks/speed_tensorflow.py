"""Measures the TensorFlow loss against a plain port: ``python benchmarks/speed_tensorflow.py``.

Forward plus backward of the public ``amad_loss``, float32, on one thread, as one ``tf.function``
(``--eager``: without, value checks included), beside named peers in the same process: rounds of one
call each, in turn, and the median of each. Writes a table, and with ``--json`` the figures. Peers:

- ``port``: the straightforward port, normalise, softmax, matmul, and a tape for the rest;
- ``xla port``, ``ours, xla``: the port and ``amad_loss`` under XLA;
- ``plain``: the library's readable form;
- ``one-to-one``: MSE or KL of as many heads as the student has, no alignment.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from amad_tensorflow import amad_loss

SIZES = {64: 8, 197: 8, 512: 4}
"""Batch sizes by the number of tokens."""

HEADS = {"teacher": 12, "student": 8}

VARIANTS = ("mse", "kl", "js", "token")

Loss = Callable[[Any, Any], Any]


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
        cells = (kl_cells(p, half) + kl_cells(mixture, half)) / 2
    else:
        cells = kl_cells(p, mixture)
    return tf.reduce_sum(cells) / batch


def kl_cells(p: Any, q: Any) -> Any:
    return p * (tf.math.log(p + 1e-12) - tf.math.log(q + 1e-12))


def one_to_one(teacher: Any, student: Any, variant: str) -> Any:
    teacher = teacher[:, : student.shape[1]]
    if variant == "mse":
        return tf.reduce_mean(tf.square(student - teacher))
    return tf.reduce_sum(kl_cells(teacher, student)) / teacher.shape[0]


def ours(teacher: Any, student: Any, variant: str, implementation: str = "auto") -> Any:
    return amad_loss(
        teacher=teacher, student=student, variant=variant, implementation=implementation
    )


def step(loss: Loss) -> Callable[[Any, Any], Any]:
    """One forward and one backward pass."""

    def run(teacher: Any, student: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(student)
            value = loss(teacher, student)
        return value, tape.gradient(value, student)

    return run


def peers(variant: str, *, eager: bool, xla: bool) -> dict[str, Callable[[Any, Any], Any]]:
    """What is measured, by name; ``ours`` first."""
    steps = {
        "ours": step(partial(ours, variant=variant)),
        "port": step(partial(port, variant=variant)),
        "plain": step(partial(ours, variant=variant, implementation="plain")),
        "one-to-one": step(partial(one_to_one, variant=variant)),
    }
    if eager:
        return steps
    found = {name: tf.function(run) for name, run in steps.items()}
    if xla:
        for name, of in (("ours, xla", "ours"), ("xla port", "port")):
            found[name] = tf.function(steps[of], jit_compile=True)
    return found


def maps(tokens: int, heads: int, seed: int) -> Any:
    shape = [SIZES[tokens], heads, tokens, tokens]
    return tf.nn.softmax(2 * tf.random.stateless_normal(shape, [seed, tokens]))


def medians(
    tokens: int, variant: str, rounds: int, clock: Callable[[], float], *, eager: bool, xla: bool
) -> dict[str, float]:
    """Milliseconds of each peer: the median of rounds in which each has one turn."""
    teacher, student = (maps(tokens, heads, seed) for seed, heads in enumerate(HEADS.values()))
    turns = peers(variant, eager=eager, xla=xla)
    for turn in turns.values():
        turn(teacher, student)
    times: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, turn in turns.items():
            start = clock()
            turn(teacher, student)[0].numpy()
            times[name].append(clock() - start)
    return {name: 1000 * statistics.median(each) for name, each in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", nargs="+", type=int, default=list(SIZES), choices=SIZES)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--eager", action="store_true")
    parser.add_argument("--xla", action="store_true")
    parser.add_argument(
        "--processor-time", action="store_true", help="of this process: on a busy machine"
    )
    parser.add_argument("--json", type=Path, help="a file for the figures")
    chosen = parser.parse_args()
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    clock = time.process_time if chosen.processor_time else time.perf_counter
    rows = []
    for variant in chosen.variants:
        for tokens in chosen.tokens:
            times = medians(
                tokens, variant, chosen.rounds, clock, eager=chosen.eager, xla=chosen.xla
            )
            rows.append({"variant": variant, "tokens": tokens, "batch": SIZES[tokens], **times})
            figures = ", ".join(f"{name} {value:.2f}" for name, value in times.items())
            ratio = times["port"] / times["ours"]
            print(f"{variant} {tokens}: {figures} ({ratio:.1f}x)", flush=True)
    if chosen.json:
        about = {
            "heads": HEADS, "eager": chosen.eager, "clock": clock.__name__,
            "tensorflow": tf.__version__, "machine": platform.processor() or platform.machine(),
        }  # fmt: skip
        chosen.json.write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
