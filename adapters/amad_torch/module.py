"""Modules: the loss with its options fixed, and the learned projection of eq. 10."""

import torch
from torch import Tensor, nn

from amad_core.arguments.maps import REDUCTIONS, check_cells, check_eps, check_temperature
from amad_core.arguments.words import check_choice
from amad_torch.attention.loss import amad_loss
from amad_torch.attention.variants import VARIANTS


class AMADLoss(nn.Module):
    """``amad_loss`` as a module, options checked when it is made.

    Args:
        variant, temperature, reduction, eps, check_values: as in ``amad_loss``.
        cells: ``n = queries * keys`` of the maps, for the variant ``projected`` only: the module
            then holds the parameters ``weight`` ``[n, n]`` (the identity at first) and ``bias``
            ``[n]`` (zeros), to be trained with the student.

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
    ) -> None:
        super().__init__()
        check_choice("variant", variant, VARIANTS)
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
        self.weight = None if cells is None else nn.Parameter(torch.eye(cells))
        self.bias = None if cells is None else nn.Parameter(torch.zeros(cells))

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
        )

    def extra_repr(self) -> str:
        return (
            f"variant={self.variant!r}, temperature={self.temperature}, "
            f"reduction={self.reduction!r}"
        )
