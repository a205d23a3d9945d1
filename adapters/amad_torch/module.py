"""Modules: the loss with its options fixed, and the learned projection of eq. 10."""

import torch
from torch import Tensor, nn

from amad_core.arguments.maps import (
    REDUCTIONS,
    check_cells,
    check_eps,
    check_implementation,
    check_map_shape,
    check_projection,
    check_temperature,
)
from amad_core.arguments.words import check_choice
from amad_torch.attention.inputs import accumulation_dtype, broadcast_mask, floating, whole_maps
from amad_torch.attention.loss import amad_loss
from amad_torch.attention.precision import full_precision
from amad_torch.attention.projection import projected_heads
from amad_torch.attention.variants import VARIANTS


class AMADLoss(nn.Module):
    """``amad_loss`` as a module, options checked when it is made.

    Args:
        variant, temperature, reduction, eps, check_values, implementation: as in ``amad_loss``.
        cells: ``n = queries * keys`` of the maps, for the variant ``projected`` only: the module
            then holds the ``weight`` and ``bias`` of an ``AMADProjection``, to be trained with the
            student.

    Raises:
        TypeError, ValueError: an option that ``amad_loss`` would refuse; ``cells`` missing,
            misplaced, or so many that the weight would exceed 4 GiB.

    Examples:
        >>> loss = AMADLoss(variant="kl")
        >>> maps = torch.full((1, 2, 3, 3), 1 / 3)
        >>> loss(teacher=maps, student=maps).item()
        0.0
    """

    def __init__(
        self,
        *,
        variant: str = "mse",
        temperature: float = 1.0,
        reduction: str = "mean",
        eps: float | None = None,
        cells: int | None = None,
        check_values: bool | None = None,
        implementation: str = "auto",
    ) -> None:
        super().__init__()
        check_choice("variant", variant, VARIANTS)
        check_implementation(implementation, variant)
        check_temperature(temperature)
        check_choice("reduction", reduction, REDUCTIONS)
        if eps is not None:
            check_eps(eps)
        check_cells(variant, cells)
        self.variant = variant
        self.temperature = temperature
        self.reduction = reduction
        self.eps = eps
        self.check_values = check_values
        self.implementation = implementation
        projection = None if cells is None else AMADProjection(cells=cells)
        self.weight = None if projection is None else projection.weight
        self.bias = None if projection is None else projection.bias

    def forward(self, *, teacher: Tensor, student: Tensor, mask: Tensor | None = None) -> Tensor:
        """The loss of ``student`` ``[B, Hs, Q, K]`` against ``teacher`` ``[B, Ht, Q, K]``."""
        return amad_loss(
            teacher=teacher,
            student=student,
            variant=self.variant,
            temperature=self.temperature,
            reduction=self.reduction,
            mask=mask,
            eps=self.eps,
            weight=self.weight,
            bias=self.bias,
            check_values=self.check_values,
            implementation=self.implementation,
        )

    def extra_repr(self) -> str:
        return (
            f"variant={self.variant!r}, temperature={self.temperature}, "
            f"reduction={self.reduction!r}"
        )


class AMADProjection(nn.Module):
    """``s̃_j = ReLU(W s_j/|s_j|_1 + b)`` (eq. 10), with ``W`` and ``b`` to be trained.

    The variant ``projected`` is the variant ``kl`` of what this module makes of the student's maps:

        projection = AMADProjection(cells=queries * keys)
        amad_loss(teacher=teacher, student=projection(student), variant="kl", eps=1e-6)

    or, the same, ``variant="projected", weight=projection.weight, bias=projection.bias``. ReLU
    makes exact zeros, so training wants an ``eps`` above the default.

    Args:
        cells: ``n = queries * keys`` of the maps. ``weight`` ``[n, n]`` is the identity at first,
            ``bias`` ``[n]`` zeros, so that training begins at the variant ``kl``.

    Raises:
        TypeError, ValueError: ``cells`` that is no positive integer, or so many that the weight
            would exceed 4 GiB.
    """

    def __init__(self, *, cells: int) -> None:
        super().__init__()
        check_cells("projected", cells)
        self.weight = nn.Parameter(torch.eye(cells))
        self.bias = nn.Parameter(torch.zeros(cells))

    def forward(self, maps: Tensor, mask: Tensor | None = None) -> Tensor:
        """``[B, H, Q, K]`` to the same shape, 0 in masked cells; ``mask`` is ``amad_loss``'s.

        In float64 where the maps or the weights are, else in float32, under autocast too.
        """
        maps = floating("maps", maps)
        check_map_shape("maps", maps.shape)
        check_projection("projected", self.weight.shape, self.bias.shape, maps.shape)
        with full_precision(maps):
            dtype = accumulation_dtype(maps, self.weight)
            valid = broadcast_mask(mask, maps)
            counted = maps.to(dtype).where(valid.unsqueeze(1), 0.0)
            heads = projected_heads(
                whole_maps(counted), self.weight.to(dtype), self.bias.to(dtype), valid
            )
            return heads.reshape(maps.shape)

    def extra_repr(self) -> str:
        return f"cells={len(self.bias)}"
