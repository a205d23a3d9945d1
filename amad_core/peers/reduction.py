"""Reduction over the batch, the same for every peer as for AMAD."""

from amad_core import checks
from amad_core.inputs import FloatArray
from amad_core.loss import reduce_batch


def reduced(losses: FloatArray, reduction: str) -> FloatArray:
    """``[B]`` as it is (``none``), summed, or averaged over the batch."""
    checks.check_choice("reduction", reduction, checks.REDUCTIONS)
    return reduce_batch(losses, reduction)
