"""Measures the kernels on a GPU: ``make bench-gpu``. Four minutes at most; refuses without a GPU.

Forward plus backward, from maps and from queries and keys, against named peers in the same run,
with the card's name, versions and the date. Median milliseconds by CUDA events, and peak memory
beside the inputs. Peers, from maps:

- ``floor``: each input read twice and the gradient written once, at the bandwidth that a copy of
  one gibibyte was measured to have;
- ``port``: the straightforward port (``speed_maps.port``), and ``compiled port``.

From queries and keys:

- ``equal weights``: a KL to the mean of the student's heads by the same kernels, which needs
  neither Gram matrices nor weights: what is left when alignment is taken away;
- ``flash``: flash attention's forward and backward of both models;
- ``maps``: both models' maps, built, and the loss of them.

``--interpret`` runs all of it in Triton's interpreter on the CPU, at tiny sizes: that shows that
the script runs, and its times say nothing.
"""

import argparse
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
MAPS = {"batch": 8, "teacher": 16, "student": 8, "tokens": 1024}
HEADS, SIZE = (12, 8), 64
TOKENS = (1024, 2048, 4096, 8192, 16384, 32768, 65536)
MATERIALISED = 8192
"""From so many tokens on, only what builds no map is measured."""

Turn = Callable[[], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--interpret", action="store_true", help="tiny sizes on the CPU")
    parser.add_argument("--seconds", type=float, default=220, help="start nothing after so many")
    parser.add_argument("--json", type=Path, default=RESULTS / "gpu.json", help="for the figures")
    chosen = parser.parse_args()
    if chosen.interpret:
        os.environ["TRITON_INTERPRET"] = "1"  # Triton looks at it when it is imported
    refuse_without_device(interpret=chosen.interpret)
    import torch

    torch.manual_seed(0)
    until = time.monotonic() + chosen.seconds
    about = machine()
    print(", ".join(f"{name} {value}" for name, value in about.items()), flush=True)
    rows, left_out = [], []
    for name, make in cases(tiny=chosen.interpret):
        if time.monotonic() > until:
            left_out.append(name)
            continue
        rows.append({"case": name, **measured(make)})
        print(line(rows[-1]), flush=True)
        gc.collect()
    if left_out:
        print("Left out, as the time was up:", ", ".join(left_out))
    if not chosen.interpret:
        found = {"about": about, "rows": rows, "left out": left_out}
        chosen.json.write_text(json.dumps(found, indent=1) + "\n")


def refuse_without_device(*, interpret: bool) -> None:
    import torch

    from amad_torch.kernels.availability import serves

    device = "cpu" if interpret else "cuda"
    if not interpret and not torch.cuda.is_available():
        sys.exit(
            "bench-gpu measures kernels on a GPU, and torch sees none here: nothing was measured. "
            "(--interpret runs the script on the CPU, without a time that means anything.)"
        )
    probe = torch.zeros(1, 1, 1, 1, device=device)
    if not serves(probe, probe):
        sys.exit("bench-gpu needs Triton (the extra 'triton') and a GPU that it runs on.")


def machine() -> dict[str, str]:
    import torch
    import triton

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "interpreted on the CPU"
    return {
        "device": name, "torch": torch.__version__, "CUDA": str(torch.version.cuda),
        "triton": triton.__version__, "date": date.today().isoformat(),
    }  # fmt: skip


def cases(*, tiny: bool) -> Iterator[tuple[str, Callable[[], dict[str, Turn | float]]]]:
    """A name, and what makes the turns of every peer; a number is milliseconds, derived."""
    sizes = {"batch": 2, "teacher": 3, "student": 2, "tokens": 5} if tiny else MAPS
    for variant in ("mse", "kl", "js", "token"):
        yield f"maps {variant} {sizes}", partial(from_maps, variant, sizes, tiny=tiny)
    for tokens in (19,) if tiny else TOKENS:
        for variant in ("mse", "kl"):
            name = f"queries and keys {variant}, {tokens} tokens"
            yield name, partial(from_queries_keys, variant, tokens, tiny=tiny)


def from_maps(variant: str, sizes: dict[str, int], *, tiny: bool) -> dict[str, Turn | float]:
    import torch
    from speed_maps import port

    from amad_torch import amad_loss

    device, tokens = ("cpu", sizes["tokens"]) if tiny else ("cuda", sizes["tokens"])
    teacher, student = (
        torch.randn(sizes["batch"], sizes[side], tokens, tokens, device=device)
        .softmax(dim=-1)
        .to(torch.float16 if tiny else torch.bfloat16)
        for side in ("teacher", "student")
    )
    student.requires_grad_()
    losses: dict[str, Callable[..., Any]] = {
        "ours": partial(amad_loss, variant=variant),
        "port": lambda teacher, student: port(teacher.float(), student.float(), variant),
    }
    if not tiny:
        losses["compiled port"] = torch.compile(losses["port"])
    turns: dict[str, Turn | float] = {
        name: partial(step, partial(loss, teacher=teacher, student=student), [student])
        for name, loss in losses.items()
    }
    moved = 2 * teacher.nbytes + 3 * student.nbytes
    if not tiny:
        turns["floor"] = 1000 * moved / copy_bandwidth()
    return turns


def from_queries_keys(variant: str, tokens: int, *, tiny: bool) -> dict[str, Turn | float]:
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    from amad_torch import QueriesKeys, amad_loss, amad_loss_from_queries_and_keys
    from amad_torch.streaming.queries_keys import attention_maps

    device, dtype, size = ("cpu", torch.float16, 18) if tiny else ("cuda", torch.bfloat16, SIZE)
    teacher, student = (
        QueriesKeys(*(torch.randn(1, heads, tokens, size, device=device).to(dtype) for _ in "qk"))
        for heads in HEADS
    )
    leaves = [student.queries.requires_grad_(), student.keys.requires_grad_()]
    given = {"teacher": teacher, "student": student, "variant": variant}
    turns: dict[str, Turn | float] = {
        "ours": partial(step, partial(amad_loss_from_queries_and_keys, **given), leaves),
        "equal weights": partial(equal_weights, teacher, student),
    }

    def attention() -> Any:
        both = [(one, one.keys.detach()) for one in (teacher, student)]
        found = [
            scaled_dot_product_attention(one.queries, one.keys, values.requires_grad_())
            for one, values in both
        ]
        return sum(one.float().sum() for one in found)

    for one in (teacher.queries, teacher.keys):
        one.requires_grad_()  # so that flash attention has both models' backward
    turns["flash"] = partial(step, attention, [*leaves, teacher.queries, teacher.keys])
    if tokens <= MATERIALISED:

        def loss_of_maps() -> Any:
            maps = [attention_maps(one) for one in (teacher, student)]
            return amad_loss(teacher=maps[0], student=maps[1], variant=variant)

        turns["maps"] = partial(step, loss_of_maps, leaves)
    return turns


def equal_weights(teacher: Any, student: Any) -> None:
    """``Σ_i KL(t_i ‖ mean of all s_j)`` and its gradient, by the kernels of ``kl``."""
    import torch

    from amad_torch.kernels import queries_keys as kernels

    tokens, heads = teacher.queries.shape[2], (teacher.queries.shape[1], student.queries.shape[1])
    sides = (
        kernels.side(
            one.queries.detach(), one.keys.detach(), factor=one.factor, mask=None, bias=None,
            reach=(tokens, tokens), row_sums=None,
        )
        for one in (teacher, student)
    )  # fmt: skip
    both = kernels.pair(*sides, None)
    sizes = tuple(teacher.queries.new_full((1, one), tokens, dtype=torch.float32) for one in heads)
    mixing = torch.full((1, *heads), 1 / heads[1], device=student.queries.device)
    zero = torch.zeros_like(mixing.mT)
    options: dict[str, Any] = {"kind": "kl", "eps": 1e-38}
    kernels.divergences(both, sizes, mixing, derivative=False, dtype=torch.float64, **options)
    kernels.gradients(
        both, sizes, from_teacher=zero, from_student=zero[..., 0], mixing=mixing, back=mixing.mT,
        shift=zero[..., 0], **options,
    )  # fmt: skip


def step(loss: Turn, leaves: list[Any]) -> None:
    """One forward and one backward pass."""
    for leaf in leaves:
        leaf.grad = None
    loss().backward()


def measured(make: Callable[[], dict[str, Turn | float]]) -> dict[str, float | None]:
    """Milliseconds of each peer, and megabytes beside the inputs; ``None`` where memory ran out."""
    import torch

    found: dict[str, float | None] = {}
    for name, turn in make().items():
        if isinstance(turn, float):
            found[name] = turn
            continue
        try:
            found |= timed(name, turn)
        except torch.OutOfMemoryError:
            found[name] = None
    return found


def timed(name: str, turn: Turn, seconds: float = 1.0) -> dict[str, float]:
    import torch

    if not torch.cuda.is_available():
        start = time.perf_counter()
        turn()
        return {name: 1000 * (time.perf_counter() - start)}
    turn()  # compiles
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    times: list[float] = []
    until = time.monotonic() + seconds
    while len(times) < 3 or (time.monotonic() < until and len(times) < 50):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        turn()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    peak = (torch.cuda.max_memory_allocated() - before) / 2**20
    return {name: statistics.median(times), f"{name}, MB": peak}


def copy_bandwidth() -> float:
    """Bytes a second that a copy reads and writes."""
    import torch

    one, other = (torch.empty(2**30, dtype=torch.uint8, device="cuda") for _ in range(2))
    return 1000 * 2 * 2**30 / timed("copy", lambda: one.copy_(other), 0.2)["copy"]


def line(row: dict[str, Any]) -> str:
    figures = (
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} did not fit"
        for name, value in row.items()
        if name != "case"
    )
    return f"{row['case']}: " + ", ".join(figures)


if __name__ == "__main__":
    main()
