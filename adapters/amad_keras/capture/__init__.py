"""Attention out of any Keras model: what every layer attended to, while it runs as always."""

from amad_keras.capture.captured import CapturedAttention
from amad_keras.capture.capturing import capture_attention
from amad_keras.capture.layer_attention import LayerAttention

__all__ = ["CapturedAttention", "LayerAttention", "capture_attention"]
