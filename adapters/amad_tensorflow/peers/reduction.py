"""Reduction over the batch, the same for every peer as for AMAD."""

from amad_core.arguments.maps import REDUCTIONS
from amad_core.arguments.words import check_choice
from amad_tensorflow.attention.inputs import Tensor
from amad_tensorflow.attention.loss import reduce_batch


def reduced(losses: Tensor, reduction: str) -> Tensor:
    """``[B]`` as it is (``none``), summed, or averaged over the batch."""
    check_choice("reduction", reduction, REDUCTIONS)
    return reduce_batch(losses, reduction)
