"""Value checks: when numbers are read back from a device to look at them."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from amad_core.arguments.words import span


def reads_values(values: Tensor, check_values: bool | None) -> bool:
    """``check_values``; where it is ``None``, whether reading a value back makes no device wait."""
    if check_values is not None:
        return check_values
    return values.device.type == "cpu" and not torch.compiler.is_compiling()


def check_finite(
    values: Tensor,
    error: Callable[[str], Exception],
    check_values: bool | None,
    least: float = -math.inf,
) -> None:
    """Raise ``error`` with what was found unless all is finite and at least ``least``."""
    if not reads_values(values, check_values):
        return
    smallest, greatest = (float(bound) for bound in torch.aminmax(values.detach()))
    if not (-math.inf < smallest and least <= smallest and greatest < math.inf):  # NaN fails all
        raise error(span(smallest, greatest))
