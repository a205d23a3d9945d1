"""The loss from queries and keys against what builds both maps: time, memory, agreement.

``python benchmarks/speed_queries_keys.py``; one thread, float32, forward and backward, medians of
interleaved runs in CPU seconds. Peers, each given the same queries and keys:

- ``port``: both maps, and the loss as people write it (normalise, softmax, matmul, autograd);
- ``maps``: both maps, and ``amad_loss``;
- ``streamed``: ``amad_loss_from_queries_and_keys``.

``--memory`` reads the peak of a process of its own from outside it (Linux).
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from amad_torch import QueriesKeys, amad_loss, amad_loss_from_queries_and_keys
from amad_torch.streaming.queries_keys import attention_maps

TEACHER_HEADS, STUDENT_HEADS, SIZE = 12, 8, 64
VARIANTS = ("mse", "kl", "token", "js")
SHAPES = ((8, 64), (8, 128), (8, 197), (1, 512), (4, 512), (1, 1024), (1, 2048))
"""Batch and tokens."""


def port(teacher: Tensor, student: Tensor, variant: str) -> Tensor:
    """The loss as people write it."""
    if variant == "token":
        teacher, student = teacher.transpose(1, 2), student.transpose(1, 2)
    else:
        teacher, student = teacher.flatten(2), student.flatten(2)
    units = normalize(teacher, dim=-1), normalize(student, dim=-1)
    weights = (units[0] @ units[1].mT).softmax(dim=-1)
    if variant == "mse":
        each = (units[0] - weights @ units[1]).square()
    else:
        target, student = (one / one.sum(dim=-1, keepdim=True) for one in (teacher, student))
        mixture = (weights @ student).clamp_min(1e-38)
        logarithm = target.clamp_min(1e-38).log()
        if variant == "js":
            half = ((target + mixture) / 2).log()
            each = (target * (logarithm - half) + mixture * (mixture.log() - half)) / 2
        else:
            each = target * (logarithm - mixture.log())
    return each.flatten(1).sum(dim=1).mean()


def built(loss: Callable[[Tensor, Tensor, str], Tensor]) -> Callable[..., Tensor]:
    """A loss of maps, with the maps built first, the teacher's without a graph."""

    def of(teacher: QueriesKeys, student: QueriesKeys, variant: str) -> Tensor:
        with torch.no_grad():
            target = attention_maps(teacher)
        return loss(target, attention_maps(student), variant)

    return of


def _amad_loss(teacher: Tensor, student: Tensor, variant: str) -> Tensor:
    return amad_loss(teacher=teacher, student=student, variant=variant)


def _streamed(teacher: QueriesKeys, student: QueriesKeys, variant: str) -> Tensor:
    return amad_loss_from_queries_and_keys(teacher=teacher, student=student, variant=variant)


PEERS: dict[str, Callable[..., Tensor]] = {
    "port": built(port),
    "maps": built(_amad_loss),
    "streamed": _streamed,
}


def inputs(batch: int, tokens: int, causal: bool) -> tuple[QueriesKeys, QueriesKeys]:
    torch.manual_seed(0)
    drawn = [torch.randn(2, batch, heads, tokens, SIZE) for heads in (TEACHER_HEADS, STUDENT_HEADS)]
    return (
        QueriesKeys(*drawn[0], causal=causal),
        QueriesKeys(*(one.clone().requires_grad_() for one in drawn[1]), causal=causal),
    )


def step(name: str, pair: tuple[QueriesKeys, QueriesKeys], variant: str) -> tuple[Tensor, ...]:
    loss = PEERS[name](*pair, variant)
    return loss.detach(), *torch.autograd.grad(loss, (pair[1].queries, pair[1].keys))


def measured(batch: int, tokens: int, variant: str, runs: int, causal: bool) -> dict[str, Any]:
    """Medians in milliseconds, ratios, and how far the streamed numbers are from the maps'."""
    pair = inputs(batch, tokens, causal)
    wanted, found = step("maps", pair, variant), step("streamed", pair, variant)
    step("port", pair, variant)
    times: dict[str, list[float]] = {name: [] for name in PEERS}
    for _ in range(runs):
        for name, taken in times.items():
            start = time.process_time()
            step(name, pair, variant)
            taken.append(time.process_time() - start)
    medians = {name: median(taken) for name, taken in times.items()}
    return {
        "batch": batch,
        "tokens": tokens,
        "variant": variant,
        "causal": causal,
        "milliseconds": {name: round(1e3 * one, 1) for name, one in medians.items()},
        "against port": round(medians["port"] / medians["streamed"], 2),
        "against maps": round(medians["maps"] / medians["streamed"], 2),
        "error": max(
            float((one - other).abs().max() / other.abs().max())
            for one, other in zip(found, wanted, strict=True)
        ),
    }


def peak(name: str, tokens: int, variant: str) -> float:
    """Extra megabytes at the peak of a process of its own, read from outside."""
    command = [sys.executable, __file__, "--child", name, str(tokens), variant]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        before = _kilobytes(child.pid, "VmRSS")
        Path(f"/proc/{child.pid}/clear_refs").write_text("5")  # the peak begins here
        child.stdin.write("\n")
        child.stdin.flush()
        child.stdout.readline()
        after = _kilobytes(child.pid, "VmHWM")
        child.stdin.write("\n")
    return (after - before) / 1024


def _kilobytes(process: int, field: str) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def _child(name: str, tokens: str, variant: str) -> None:
    step(name, inputs(1, 32, causal=False), variant)  # libraries and their threads are there now
    pair = inputs(1, int(tokens), causal=False)
    print("ready", flush=True)
    sys.stdin.readline()
    step(name, pair, variant)
    print("done", flush=True)
    sys.stdin.readline()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", nargs="+", default=VARIANTS)
    parser.add_argument("--tokens", nargs="+", type=int, help="of the shapes those with so many")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--causal", action="store_true")
    parser.add_argument("--memory", nargs="+", type=int, default=[], help="so many tokens")
    parser.add_argument("--peers", nargs="+", default=["streamed"], help="whose memory")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.child:
        _child(*given.child)
        return
    for tokens in given.memory:
        for variant in given.variants:
            extra = {name: round(peak(name, tokens, variant)) for name in given.peers}
            line = {"tokens": tokens, "variant": variant, "extra megabytes": extra}
            print(json.dumps(line), flush=True)
    for batch, tokens in () if given.memory else SHAPES:
        for variant in given.variants:
            if not given.tokens or tokens in given.tokens:
                found = measured(batch, tokens, variant, given.runs, given.causal)
                print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
