"""The loss from maps, in PyTorch: forward plus backward of each peer, in turns."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from benchmarks.speed.cases import OURS, PORT, Case
from benchmarks.speed.timing import first, interleaved
from benchmarks.speed.torch_losses import maps_of, turn_of


def measured(case: Case, *, threads: int, **effort: Any) -> dict[str, Any]:
    """Seconds of each peer, and errors of our gradient and of the port's."""
    torch.set_num_threads(threads)
    teacher, student = maps_of(case)
    turns = {name: turn_of(name, case, teacher, student) for name in case.peers}
    gradients = first(turns)
    found: dict[str, Any] = {"seconds": interleaved(turns, **effort)}
    if not case.dynamic:
        found["errors"] = _errors(case, {n: gradients[n] for n in (OURS, PORT) if n in gradients})
    return found


def _errors(case: Case, gradients: Mapping[str, Tensor]) -> dict[str, float]:
    """Distances from the port's gradient in float64, over the length of that."""
    teacher, student = (one.detach().double() for one in maps_of(case))
    wanted = turn_of(PORT, case, teacher, student.requires_grad_())()
    return {
        name: float((one.double() - wanted).norm() / wanted.norm())
        for name, one in gradients.items()
    }
