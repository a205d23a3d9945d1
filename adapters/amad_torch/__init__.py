"""AMAD in PyTorch: the functions of ``amad_core``, differentiable and batched on any device."""

from amad_core.arguments.extras import missing_framework

try:
    import torch  # noqa: F401
except ModuleNotFoundError as error:
    raise missing_framework(__name__, error, "torch") from error

from amad_core.training.layers import LayerPair, layer_pairs
from amad_core.training.schedule import LinearRamp
from amad_torch.attention.alignment import alignment_weights
from amad_torch.attention.loss import amad_loss
from amad_torch.attention.variants import VARIANTS
from amad_torch.cache import TeacherCache, cache_teacher
from amad_torch.capture import LayerAttention, capture_attention, register_attention
from amad_torch.distillation import (
    AttentionMatch,
    DistillationCallback,
    DistillationOutput,
    Distiller,
    Suggestion,
    measure_alignment,
    plot_alignment,
)
from amad_torch.module import AMADLoss, AMADProjection
from amad_torch.streaming import QueriesKeys, amad_loss_from_queries_and_keys
from amad_torch.training.layer_losses import LayersLoss, amad_layers_loss
from amad_torch.training.masks import cell_mask
from amad_torch.training.output_losses import output_loss, task_loss
from amad_torch.training.total import TotalLoss, total_loss

__all__ = [
    "VARIANTS",
    "AMADLoss",
    "AMADProjection",
    "AttentionMatch",
    "DistillationCallback",
    "DistillationOutput",
    "Distiller",
    "LayerAttention",
    "LayerPair",
    "LayersLoss",
    "LinearRamp",
    "QueriesKeys",
    "Suggestion",
    "TeacherCache",
    "TotalLoss",
    "alignment_weights",
    "amad_layers_loss",
    "amad_loss",
    "amad_loss_from_queries_and_keys",
    "cache_teacher",
    "capture_attention",
    "cell_mask",
    "layer_pairs",
    "measure_alignment",
    "output_loss",
    "plot_alignment",
    "register_attention",
    "task_loss",
    "total_loss",
]
