"""What was captured: every layer's attention by its path."""

from torch import Tensor

from amad_core.training.captured import KINDS, Captured
from amad_torch.capture.layer_attention import LayerAttention

__all__ = ["KINDS", "CapturedAttention"]


class CapturedAttention(Captured[LayerAttention, Tensor]):
    """Module path to what the module attended to, in the order of the calls."""

    separator = "."
