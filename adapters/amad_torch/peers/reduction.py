"""Reduction over the batch, the same for every peer as for AMAD."""

from torch import Tensor

from amad_core import checks
from amad_torch.loss import reduce_batch


def reduced(losses: Tensor, reduction: str) -> Tensor:
    """``[B]`` as it is (``none``), summed, or averaged over the batch."""
    checks.check_choice("reduction", reduction, checks.REDUCTIONS)
    return reduce_batch(losses, reduction)
