"""What the loss from maps is measured against, in PyTorch: ``loss(teacher, student)`` of maps."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import kl_div, mse_loss, normalize

from amad_torch import amad_loss
from amad_torch.peers import align_to_distill
from benchmarks.speed.cases import (
    COMPILED_PORT,
    MEAN_HEAD,
    ONE_TO_ONE,
    OURS,
    OURS_COMPILED,
    PORT,
    Case,
)
from benchmarks.speed.timing import Turn

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
        cells = (_kl_cells(p, half) + _kl_cells(mixture, half)) / 2
    else:
        cells = _kl_cells(p, mixture)
    return cells.flatten(1).sum(dim=1).mean()


def _kl_cells(p: Tensor, q: Tensor) -> Tensor:
    return p * ((p + 1e-12).log() - (q + 1e-12).log())


def one_to_one(teacher: Tensor, student: Tensor, variant: str) -> Tensor:
    """PyTorch's own MSE, or KL for all but ``mse``, of as many heads as the student has."""
    teacher = teacher[:, : student.shape[1]]
    student = student[:, : teacher.shape[1]]
    if variant == "mse":
        return mse_loss(student, teacher)
    return kl_div((student + 1e-12).log(), teacher, reduction="batchmean")


def mean_head(teacher: Tensor, student: Tensor, variant: str) -> Tensor:
    """The same of the mean over heads."""
    return one_to_one(teacher.mean(1, keepdim=True), student.mean(1, keepdim=True), variant)


def ours(teacher: Tensor, student: Tensor, variant: str, implementation: str = "auto") -> Tensor:
    """The public loss, value checks included."""
    return amad_loss(
        teacher=teacher, student=student, variant=variant, implementation=implementation
    )


def loss_of(name: str, case: Case) -> Loss:
    """A peer by its name (but ``copy``, which is no loss)."""
    losses: dict[str, Callable[..., Tensor]] = {
        OURS: ours,
        PORT: port,
        ONE_TO_ONE: one_to_one,
        MEAN_HEAD: mean_head,
        "plain form": partial(ours, implementation="plain"),
    }
    if name in losses:
        return partial(losses[name], variant=case.variant)
    if name in (OURS_COMPILED, COMPILED_PORT):
        return _compiled(ours if name == OURS_COMPILED else port, case)
    if name == "align to distill":
        return _align_to_distill(case)
    raise ValueError(f"no peer of the loss from maps is called {name!r}")


def _align_to_distill(case: Case) -> Loss:
    heads = case.teacher_heads, case.student_heads
    weight = torch.full(heads, 1 / heads[1]).requires_grad_()
    bias = torch.zeros(heads[0]).requires_grad_()

    def loss(teacher: Tensor, student: Tensor) -> Tensor:
        return align_to_distill(teacher=teacher, student=student, weight=weight, bias=bias)

    return loss


_COMPILED: dict[tuple[object, str], Loss] = {}
"""What serves a whole sweep."""


def _compiled(loss: Callable[..., Tensor], case: Case) -> Loss:
    if not case.dynamic:
        torch.compiler.reset()
        _COMPILED.clear()
        return torch.compile(partial(loss, variant=case.variant), fullgraph=True)
    key = loss, case.variant
    if key not in _COMPILED:
        _COMPILED[key] = torch.compile(partial(loss, variant=case.variant), dynamic=True)
    return _COMPILED[key]


def maps_of(case: Case) -> tuple[Tensor, Tensor]:
    """Teacher's and student's maps, the latter a leaf."""
    torch.manual_seed(0)
    teacher, student = (
        _maps(case.batch, heads, case.tokens) for heads in (case.teacher_heads, case.student_heads)
    )
    return teacher, student.requires_grad_()


def _maps(batch: int, heads: int, tokens: int) -> Tensor:
    """In place, so that nothing is freed that a step could use."""
    cells = torch.randn(batch, heads, tokens, tokens).mul_(2).exp_()
    return cells.div_(cells.sum(dim=-1, keepdim=True))


def turn_of(name: str, case: Case, teacher: Tensor, student: Tensor) -> Turn:
    """One forward and one backward pass of a peer, which gives the student's gradient.

    A copy of both inputs for ``copy``.
    """
    if name == "copy":
        rooms = torch.zeros_like(teacher), torch.zeros_like(student)
        return lambda: (rooms[0].copy_(teacher), rooms[1].copy_(student.detach()))
    loss = loss_of(name, case)

    def step() -> Tensor | None:
        loss(teacher, student).backward()  # type: ignore[no-untyped-call]
        gradient, student.grad = student.grad, None
        return gradient

    return step
