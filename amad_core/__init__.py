"""AMAD, Attention Map Alignment Distillation: the specification, in NumPy and float64.

Zhao et al., "No Head Left Behind - Multi-Head Alignment Distillation for Transformers", AAAI 2024.
The adapters ``amad_torch`` and ``amad_tensorflow`` give the same functions for training; the
methods that AMAD is compared with are in ``amad_core.peers``.
"""

from amad_core.attention.alignment import alignment_weights
from amad_core.attention.gradient import amad_loss_and_grad
from amad_core.attention.loss import amad_loss
from amad_core.attention.variants import VARIANTS
from amad_core.training.layer_losses import LayersLoss, amad_layers_loss
from amad_core.training.layers import LayerPair, layer_pairs
from amad_core.training.masks import cell_mask
from amad_core.training.output_losses import (
    output_loss,
    output_loss_and_grad,
    task_loss,
    task_loss_and_grad,
)
from amad_core.training.schedule import LinearRamp
from amad_core.training.total import TotalLoss, total_loss

__version__ = "0.1.0"

__all__ = [
    "VARIANTS",
    "LayerPair",
    "LayersLoss",
    "LinearRamp",
    "TotalLoss",
    "__version__",
    "alignment_weights",
    "amad_layers_loss",
    "amad_loss",
    "amad_loss_and_grad",
    "cell_mask",
    "layer_pairs",
    "output_loss",
    "output_loss_and_grad",
    "task_loss",
    "task_loss_and_grad",
    "total_loss",
]
