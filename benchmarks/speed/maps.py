"""The loss from maps, in PyTorch: forward plus backward of each peer, in turns."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from benchmarks.speed.cases import OURS, PORT, Case
from benchmarks.speed.timing import Turn, interleaved
from benchmarks.speed.torch_losses import maps_of, turn_of


def measured(case: Case, *, threads: int, **effort: Any) -> dict[str, Any]:
    """Seconds of each peer, and errors of our gradient and of the port's."""
    torch.set_num_threads(threads)
    teacher, student = maps_of(case)
    turns = {name: turn_of(name, case, teacher, student) for name in case.peers}
    found: dict[str, Any] = {"seconds": interleaved(turns, **effort)}
    if not case.dynamic:
        judged = {name: turns[name] for name in (OURS, PORT) if name in turns}
        found["errors"] = _errors(case, judged, student)
    return found


def _errors(case: Case, turns: Mapping[str, Turn], student: Tensor) -> dict[str, float]:
    """Distances of gradients from the port's in float64, over the length of that."""
    teacher, exact = (one.double() for one in maps_of(case))
    exact = exact.detach().requires_grad_()
    wanted = _gradient(turn_of(PORT, case, teacher, exact), exact)
    return {
        name: float((_gradient(turn, student) - wanted).norm() / wanted.norm())
        for name, turn in turns.items()
    }


def _gradient(turn: Turn, student: Tensor) -> Tensor:
    turn()
    assert student.grad is not None
    return student.grad.double()
