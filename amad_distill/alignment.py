"""The alignment weights of any distiller, also of one that compares by another method or not."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from amad_torch import Distiller, measure_alignment

Alignment: TypeAlias = dict[str, list[list[float]]]
"""By layer, ``"student path <- teacher path"``, the weights ``[Ht][Hs]`` of eq. 2."""


def any_alignment(distiller: Distiller, batches: Iterable[Mapping[str, Any]]) -> Alignment:
    """``measure_alignment`` of the layers that a distiller has in pairs, whatever compares them.

    Raises:
        ValueError: no batch, no pair, maps of different lengths.
    """
    looking = Distiller(
        teacher=distiller.teacher,
        student=distiller.student,
        method="amad_mse",
        temperature=distiller.temperature,
        matches=[replace(one, method=None, weight=1.0, options={}) for one in distiller.matches],
        crop=distiller.lengths.crop,
        resize=distiller.lengths.resize,
        output_weight=0.0,
        task_weight=0.0,
    )
    return measure_alignment(looking, batches)
