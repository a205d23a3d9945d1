"""The alignment weights of a teacher's heads and a student's, over some batches."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from amad_torch import Distiller

Alignment: TypeAlias = dict[str, list[list[float]]]
"""By layer, ``"student path <- teacher path"``, the weights ``[Ht][Hs]`` of eq. 2."""


def mean_alignment(distiller: Distiller, batches: Iterable[Mapping[str, Any]]) -> Alignment:
    """How much of each teacher head goes to each student head, mean over the samples.

    The layers are those that the distiller compares, whichever method it compares them by, also
    with weight 0. The student runs in eval mode, and has its own mode again afterwards.
    """
    student = distiller.student
    looking = Distiller(
        teacher=distiller.teacher,
        student=student,
        method="amad_mse",
        temperature=distiller.temperature,
        matches=[replace(one, method=None, weight=1.0, options={}) for one in distiller.matches],
        crop=distiller.lengths.crop,
        resize=distiller.lengths.resize,
        output_weight=0.0,
        task_weight=0.0,
    )
    seen: dict[str, list[Tensor]] = {}

    def look(matched: Any, alignment: Callable[[], Tensor]) -> None:
        seen.setdefault(matched.name, []).append(alignment().double().cpu())

    looking.watchers.append(look)
    modes = [(module, module.training) for module in student.modules()]
    student.eval()
    try:
        with torch.no_grad():
            for batch in batches:
                looking.distil(**batch)
    finally:
        for module, mode in modes:
            module.training = mode
    return {name: torch.cat(weights).mean(dim=0).tolist() for name, weights in seen.items()}
