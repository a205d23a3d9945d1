"""Attention out of any model: what every layer attended to, while it runs as always."""

from amad_torch.capture.captured import CapturedAttention
from amad_torch.capture.capturing import capture_attention
from amad_torch.capture.layer_attention import LayerAttention
from amad_torch.capture.registered import register_attention

__all__ = ["CapturedAttention", "LayerAttention", "capture_attention", "register_attention"]
