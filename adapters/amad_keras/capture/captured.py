"""What was captured: layers by their paths."""

from amad_core.training.captured import Captured
from amad_keras.capture.layer_attention import LayerAttention
from amad_keras.capture.tensors import Tensor, as_written


class CapturedAttention(Captured[LayerAttention, Tensor]):
    """Path of a layer to what it attended to, in the order of the calls."""

    separator = "/"
    layers = as_written(Captured.layers)
    maps = as_written(Captured.maps)
