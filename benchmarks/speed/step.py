"""What attention costs of a whole training step, as people take it today and as ``Distiller`` does.

A step is the forward passes of teacher and student, the task's loss and that of softened outputs,
the student's backward pass and its optimizer. Peers:

- ``no attention term``: that, with fused attention (SDPA) in both models;
- ``today, kl``: both models with eager attention and ``output_attentions``, the straightforward
  port on the maps of every layer added;
- ``ours, kl``: ``Distiller`` of models that run SDPA.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div

from amad_torch import Distiller
from benchmarks.speed.cases import FLOOR, Case
from benchmarks.speed.models import Batch, attention, model_and_batch
from benchmarks.speed.timing import first, interleaved
from benchmarks.speed.torch_losses import port

TEMPERATURE = 2.0
"""Of the outputs."""


def measured(case: Case, *, threads: int, **effort: Any) -> dict[str, Any]:
    """Seconds of each peer, and how far our first losses are from today's."""
    torch.set_num_threads(threads)
    turns = {name: turn_of(name, case) for name in case.peers}
    losses = first(turns)
    found: dict[str, Any] = {"seconds": interleaved(turns, **effort)}
    found["errors"] = {
        name: abs(float(value / losses[f"today, {variant}"]) - 1)
        for name, value in losses.items()
        if (variant := name.removeprefix("ours, ")) != name and f"today, {variant}" in losses
    }
    return found


def turn_of(name: str, case: Case) -> Callable[[], Any]:
    """A training step of models of its own, which start alike for all peers."""
    teacher, batch = model_and_batch(case.group, case.teacher_heads, case.tokens, case.batch)
    student, _ = model_and_batch(case.group, case.student_heads, case.tokens, case.batch)
    frozen(teacher)
    way, _, variant = name.partition(", ")
    for model in (teacher, student):
        model.set_attn_implementation("eager" if way == "today" else "sdpa")
    if way == "ours":
        distiller = Distiller(
            teacher=teacher, student=student, method=f"amad_{variant}",
            output_temperature=TEMPERATURE,
        )  # fmt: skip
        return _step(lambda: distiller(**batch).loss, student)
    if name != FLOOR and way != "today":
        raise ValueError(f"no peer of a training step is called {name!r}")
    return _step(partial(by_hand, teacher, student, batch, variant), student)


def frozen(model: Any) -> None:
    """As a teacher is."""
    model.eval().requires_grad_(False)


def by_hand(teacher: nn.Module, student: nn.Module, batch: Batch, variant: str) -> Tensor:
    """The loss of a step as people write it; without attention for no variant."""
    asked = {"output_attentions": True} if variant else {}
    with torch.no_grad():
        target = teacher(**batch, **asked)
    output = student(**batch, **asked)
    loss: Tensor = output.loss + _softened(target.logits, output.logits)
    if variant:
        for theirs, own in zip(attention(target), attention(output), strict=True):
            for one, other in zip(theirs, own, strict=True):
                loss = loss + port(one, other, variant)
    return loss


def _softened(teacher: Tensor, student: Tensor) -> Tensor:
    target = (teacher / TEMPERATURE).flatten(0, 1).softmax(-1)
    found = (student / TEMPERATURE).flatten(0, 1).log_softmax(-1)
    return TEMPERATURE**2 * kl_div(found, target, reduction="batchmean")


def _step(loss: Callable[[], Any], student: nn.Module) -> Callable[[], Any]:
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-5)

    def step() -> Any:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
        return value.detach()

    return step
