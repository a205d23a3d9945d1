"""What tiles and small tensors are like: powers of two, and float32."""

import math

import torch
from torch import Tensor


def padded(size: int) -> int:
    """The smallest tile that holds so much: 16, the least of products, or the next power of two."""
    return max(16, 1 << (size - 1).bit_length())


def bad_norms(squares: Tensor, peaks: Tensor) -> Tensor:
    """Where a squared norm of one of the heads ``[..., H]`` has lost digits or may overflow."""
    limits = torch.finfo(torch.float32)
    safe = (squares > limits.tiny ** (1 / 3)) & (squares < limits.max ** (1 / 3))
    found: Tensor = ~(safe | (peaks == 0)).all(dim=-1)
    return found


def floor_of(eps: float, kind: str) -> tuple[float, float]:
    """``eps`` as float32 holds it, and its logarithm."""
    limits = torch.finfo(torch.float32)
    if kind == "js":
        eps = max(eps, limits.tiny)
    return min(eps, limits.max), math.log(eps) if eps > 0 else -math.inf


def wide(values: Tensor) -> Tensor:
    """As programs read what is small."""
    return values.to(torch.float32).contiguous()
