"""What is measured of a teacher and a student."""

from dataclasses import dataclass
from typing import Any, TypeAlias

AnyDistiller: TypeAlias = Any
"""A ``Distiller``, whose module imports those that measure, and is not imported by them."""


@dataclass(frozen=True)
class PartLayers:
    """The layers of one kind of attention, in one part of both models.

    Attributes:
        name: kind and part, such as ``"cross"`` or ``"self decoder"``.
        teacher, student: paths, in the order of the calls.
        likeness: for each student layer and each teacher layer, the mean over student heads of the
            correlation with the teacher head most like it, from -1 to 1.
        mean_cosine, effective_rank: of the heads of each teacher layer.
        heads: of each teacher layer.
        pairs: the layer map suggested, ``(teacher layer, student layer)``.
    """

    name: str
    teacher: list[str]
    student: list[str]
    likeness: list[list[float]]
    mean_cosine: list[float]
    effective_rank: list[float]
    heads: list[int]
    pairs: list[tuple[int, int]]


@dataclass(frozen=True)
class Evenness:
    """How even the alignment weights are at one temperature.

    Attributes:
        temperature: τ.
        entropy: divided by ``log Hs``: 1 for equal weights (the mean map), 0 for one head each.
        largest: the mean of each teacher head's largest weight.
    """

    temperature: float
    entropy: float
    largest: float


@dataclass(frozen=True)
class PartOfLoss:
    """One part of the loss: its value and the norm of its gradient, before weighting.

    Attributes:
        name: ``"attention"``, ``"output"`` or ``"task"``.
        loss, gradient_norm: means over batches; the norm is over all the student's parameters.
        weight: that was suggested.
    """

    name: str
    loss: float
    gradient_norm: float
    weight: float
