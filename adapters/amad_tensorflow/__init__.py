"""AMAD in TensorFlow: the functions of ``amad_core``, differentiable and batched, and for Keras."""

from importlib import import_module

from amad_core.arguments.extras import missing_framework

try:
    for framework in ("keras", "tensorflow"):
        import_module(framework)
except ModuleNotFoundError as error:
    raise missing_framework(__name__, error, "tensorflow") from error

from amad_core.training.layers import LayerPair, layer_pairs
from amad_core.training.schedule import LinearRamp
from amad_keras.alignment import AlignmentImages, measure_alignment
from amad_keras.capture import CapturedAttention, LayerAttention, capture_attention
from amad_keras.distillation import AttentionDistillation
from amad_pictures import plot_alignment
from amad_tensorflow.attention.alignment import alignment_weights
from amad_tensorflow.attention.loss import amad_loss
from amad_tensorflow.attention.variants import VARIANTS
from amad_tensorflow.keras.loss import AMADLoss
from amad_tensorflow.keras.projection import AMADProjection
from amad_tensorflow.streaming import QueriesKeys, amad_loss_from_queries_and_keys
from amad_tensorflow.training.layer_losses import LayersLoss, amad_layers_loss
from amad_tensorflow.training.masks import cell_mask
from amad_tensorflow.training.output_losses import output_loss, task_loss
from amad_tensorflow.training.total import TotalLoss, total_loss

__all__ = [
    "VARIANTS",
    "AMADLoss",
    "AMADProjection",
    "AlignmentImages",
    "AttentionDistillation",
    "CapturedAttention",
    "LayerAttention",
    "LayerPair",
    "LayersLoss",
    "LinearRamp",
    "QueriesKeys",
    "TotalLoss",
    "alignment_weights",
    "amad_layers_loss",
    "amad_loss",
    "amad_loss_from_queries_and_keys",
    "capture_attention",
    "cell_mask",
    "layer_pairs",
    "measure_alignment",
    "output_loss",
    "plot_alignment",
    "task_loss",
    "total_loss",
]
