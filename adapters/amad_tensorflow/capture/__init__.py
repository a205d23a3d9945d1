"""Attention out of any Keras model: what every layer attended to, while it runs as always."""

from amad_tensorflow.capture.captured import CapturedAttention
from amad_tensorflow.capture.capturing import capture_attention
from amad_tensorflow.capture.layer_attention import LayerAttention

__all__ = ["CapturedAttention", "LayerAttention", "capture_attention"]
