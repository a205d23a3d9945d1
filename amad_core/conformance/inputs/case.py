"""A case: what a port is asked."""

from dataclasses import dataclass
from typing import Any

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

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of ``amad_core.amad_loss`` and of its gradient."""
        return {name: value for name, value in vars(self).items() if name != "name"}
