"""Measures the loss from maps against what people write: ``python benchmarks/speed_maps.py``.

Forward plus backward of the public ``amad_loss``, value checks included, float32, on one thread,
beside named peers in the same process: rounds of one call each, in turn, and the median of each.
Peak memory is read from outside, of a process of its own for each peer (``--memory``). Writes a
table, and with ``--json`` the figures. Peers:

- ``port``: the straightforward port, normalise, softmax, matmul, and autograd for the rest;
- ``compiled port``: ``torch.compile`` of it (``--compile``, which takes a minute a size);
- ``plain``: the library's readable form;
- ``one-to-one``: MSE or KL of as many heads as the student has, no alignment;
- ``mean head``: the same of the mean over heads;
- ``copy``: a plain copy of both inputs into memory that is there.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import kl_div, mse_loss, normalize

from amad_torch import amad_loss

SIZES = {64: 8, 197: 8, 512: 4, 1024: 1}
"""Batch sizes by the number of tokens."""

HEADS = {"teacher": 12, "student": 8}

VARIANTS = ("mse", "kl", "js", "token")

Loss = Callable[[Tensor, Tensor], Tensor]


def port(teacher: Tensor, student: Tensor, variant: str) -> Tensor:
    """The loss as it is written in ten lines; ``+ 1e-12`` stands for the care that it takes."""
    if variant == "token":
        t, s = teacher.transpose(1, 2), student.transpose(1, 2)
    else:
        t, s = teacher.flatten(2), student.flatten(2)
    unit_t, unit_s = normalize(t, dim=-1), normalize(s, dim=-1)
    weights = (unit_t @ unit_s.mT).softmax(dim=-1)
    if variant == "mse":
        return (unit_t - weights @ unit_s).square().sum(dim=(1, 2)).mean()
    p, q = t / t.sum(dim=-1, keepdim=True), s / s.sum(dim=-1, keepdim=True)
    mixture = weights @ q
    if variant == "js":
        half = (p + mixture) / 2
        cells = (kl_cells(p, half) + kl_cells(mixture, half)) / 2
    else:
        cells = kl_cells(p, mixture)
    return cells.flatten(1).sum(dim=1).mean()


def kl_cells(p: Tensor, q: Tensor) -> Tensor:
    return p * ((p + 1e-12).log() - (q + 1e-12).log())


def one_to_one(teacher: Tensor, student: Tensor, variant: str) -> Tensor:
    teacher = teacher[:, : student.shape[1]]
    if variant == "mse":
        return mse_loss(student, teacher)
    return kl_div((student + 1e-12).log(), teacher, reduction="batchmean")


def mean_head(teacher: Tensor, student: Tensor, variant: str) -> Tensor:
    return one_to_one(teacher.mean(1, keepdim=True), student.mean(1, keepdim=True), variant)


def ours(teacher: Tensor, student: Tensor, variant: str, implementation: str = "auto") -> Tensor:
    return amad_loss(
        teacher=teacher, student=student, variant=variant, implementation=implementation
    )


def peers(variant: str, *, compiled: bool) -> dict[str, Loss]:
    """What is measured, by name; ``ours`` first."""
    found: dict[str, Loss] = {
        "ours": partial(ours, variant=variant),
        "port": partial(port, variant=variant),
        "plain": partial(ours, variant=variant, implementation="plain"),
        "one-to-one": partial(one_to_one, variant=variant),
        "mean head": partial(mean_head, variant=variant),
    }
    if compiled:
        torch.compiler.reset()
        found["compiled port"] = torch.compile(partial(port, variant=variant))
        found["ours, compiled"] = torch.compile(partial(ours, variant=variant), fullgraph=True)
    return found


def maps(tokens: int, batch: int, heads: int) -> Tensor:
    """In place, so that nothing is freed that a step could use."""
    cells = torch.randn(batch, heads, tokens, tokens).mul_(2).exp_()
    return cells.div_(cells.sum(dim=-1, keepdim=True))


def both(tokens: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    teacher, student = (maps(tokens, SIZES[tokens], heads) for heads in HEADS.values())
    return teacher, student.requires_grad_()


def step(loss: Loss, teacher: Tensor, student: Tensor) -> None:
    """One forward and one backward pass."""
    student.grad = None
    loss(teacher, student).backward()


def medians(
    tokens: int, variant: str, rounds: int, clock: Callable[[], float], *, compiled: bool
) -> dict[str, float]:
    """Milliseconds of each peer: the median of rounds in which each has one turn."""
    teacher, student = both(tokens)
    room = torch.empty_like(teacher), torch.empty_like(student)
    turns: dict[str, Callable[[], object]] = {
        name: partial(step, loss, teacher, student)
        for name, loss in peers(variant, compiled=compiled).items()
    }
    turns["copy"] = lambda: (room[0].copy_(teacher), room[1].copy_(student.detach()))
    for turn in turns.values():
        turn()
    times: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, turn in turns.items():
            start = clock()
            turn()
            times[name].append(clock() - start)
    return {name: 1000 * statistics.median(each) for name, each in times.items()}


def peak(tokens: int, variant: str, name: str) -> float:
    """Memory that one step takes at most, over that of the gradient; in a process of its own."""
    command = [sys.executable, __file__, "--one-step", name, "--tokens", str(tokens)]
    command += ["--variants", variant]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return int(found) * 1024 / (4 * SIZES[tokens] * HEADS["student"] * tokens**2)


def one_step(tokens: int, variant: str, name: str) -> None:
    """Prints by how many KiB a step raises this process's resident memory (Linux)."""
    loss = peers(variant, compiled=False)[name]
    small = maps(16, 1, 3), maps(16, 1, 2).requires_grad_()
    step(loss, *small)  # what the first call loads is not counted
    teacher, student = both(tokens)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = resident("VmRSS")
    step(loss, teacher, student)
    print(resident("VmHWM") - before)


def resident(entry: str) -> int:
    """``VmRSS``, memory in KiB that this process has, or ``VmHWM``, the most that it had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(entry))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", nargs="+", type=int, default=list(SIZES), choices=SIZES)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument(
        "--processor-time", action="store_true", help="of this process: on a busy machine"
    )
    parser.add_argument("--json", type=Path, help="a file for the figures")
    parser.add_argument("--one-step", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    if chosen.one_step:
        one_step(chosen.tokens[0], chosen.variants[0], chosen.one_step)
        return
    clock = time.process_time if chosen.processor_time else time.perf_counter
    rows = []
    for variant in chosen.variants:
        for tokens in chosen.tokens:
            times = medians(tokens, variant, chosen.rounds, clock, compiled=chosen.compile)
            row = {"variant": variant, "tokens": tokens, "batch": SIZES[tokens], **times}
            if chosen.memory:
                row |= {f"memory {name}": peak(tokens, variant, name) for name in ("ours", "port")}
            rows.append(row)
            figures = (f"{name} {value:.2f}" for name, value in row.items() if name != "variant")
            print(
                variant, ", ".join(figures), f"({times['port'] / times['ours']:.1f}x)", flush=True
            )
    if chosen.json:
        about = {
            "heads": HEADS, "threads": chosen.threads, "clock": clock.__name__,
            "torch": torch.__version__, "machine": platform.processor() or platform.machine(),
        }  # fmt: skip
        chosen.json.write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
