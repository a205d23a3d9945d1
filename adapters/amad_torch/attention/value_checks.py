"""Value checks: when numbers are read back from a device to look at them."""

import torch
from torch import Tensor


def reads_values(values: Tensor, check_values: bool | None) -> bool:
    """``check_values``; where it is ``None``, whether reading a value back makes no device wait."""
    if check_values is not None:
        return check_values
    return values.device.type == "cpu" and not torch.compiler.is_compiling()
