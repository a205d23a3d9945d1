"""A case, what a port is asked; and an observation, what it answered."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from amad_core.attention.inputs import BoolArray, FloatArray


@dataclass(frozen=True)
class Case:
    """One input of the loss, with its options.

    Attributes:
        name: short and unique within a run, for reports (``"disjoint/1"``).
        teacher: ``[B, Ht, Q, K]`` float64.
        student: ``[B, Hs, Q, K]`` float64.
        variant, temperature, reduction, eps: the options of ``amad_core.amad_loss``.
        mask: boolean ``[B, Q, K]``, or ``None`` where the port is called without one.
        weight: ``[n, n]`` of the variant ``projected``, else ``None``.
        bias: ``[n]`` of the variant ``projected``, else ``None``.
    """

    name: str
    teacher: FloatArray
    student: FloatArray
    variant: str = "mse"
    temperature: float = 1.0
    reduction: str = "mean"
    eps: float = 0.0
    mask: BoolArray | None = None
    weight: FloatArray | None = None
    bias: FloatArray | None = None


@dataclass(frozen=True)
class Observation:
    """What a port (or a mistake, or the specification) gives for one case.

    Attributes:
        value: the loss, a scalar or ``[B]``; ``None`` where none came.
        grad_student: ``[B, Hs, Q, K]``; ``None`` where the port gives no gradient.
        grad_teacher: ``[B, Ht, Q, K]``; ``None`` where none was taken or none exists.
        dtype: name of the dtype that the port computed in (``"float32"``).
    """

    value: NDArray[np.float64] | None
    grad_student: FloatArray | None = None
    grad_teacher: FloatArray | None = None
    dtype: str = "float64"
