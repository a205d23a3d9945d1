"""Precision: keeps autocast from running the loss's products in half precision."""

from contextlib import AbstractContextManager, nullcontext

import torch


def full_precision(tensor: object) -> AbstractContextManager[object]:
    """A context without autocast on the tensor's device; an empty one where there is none."""
    if isinstance(tensor, torch.Tensor) and torch.amp.is_autocast_available(tensor.device.type):
        return torch.autocast(tensor.device.type, enabled=False)
    return nullcontext()
