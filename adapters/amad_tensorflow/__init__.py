"""AMAD in TensorFlow: the functions of ``amad_core``, differentiable and batched, and for Keras."""

from amad_core.layers import LayerPair, layer_pairs
from amad_core.schedule import LinearRamp
from amad_tensorflow.alignment import alignment_weights
from amad_tensorflow.keras_loss import AMADLoss
from amad_tensorflow.layer_losses import LayersLoss, amad_layers_loss
from amad_tensorflow.loss import amad_loss
from amad_tensorflow.masks import cell_mask
from amad_tensorflow.output_losses import output_loss, task_loss
from amad_tensorflow.projection_layer import AMADProjection
from amad_tensorflow.total import TotalLoss, total_loss
from amad_tensorflow.variants import VARIANTS

__all__ = [
    "VARIANTS",
    "AMADLoss",
    "AMADProjection",
    "LayerPair",
    "LayersLoss",
    "LinearRamp",
    "TotalLoss",
    "alignment_weights",
    "amad_layers_loss",
    "amad_loss",
    "cell_mask",
    "layer_pairs",
    "output_loss",
    "task_loss",
    "total_loss",
]
