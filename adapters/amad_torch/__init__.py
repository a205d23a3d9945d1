"""AMAD in PyTorch: the functions of ``amad_core``, differentiable and batched on any device."""

from amad_core.layers import LayerPair, layer_pairs
from amad_core.schedule import LinearRamp
from amad_torch.alignment import alignment_weights
from amad_torch.layer_losses import LayersLoss, amad_layers_loss
from amad_torch.loss import amad_loss
from amad_torch.masks import cell_mask
from amad_torch.module import AMADLoss
from amad_torch.output_losses import output_loss, task_loss
from amad_torch.total import TotalLoss, total_loss
from amad_torch.variants import VARIANTS

__all__ = [
    "VARIANTS",
    "AMADLoss",
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
