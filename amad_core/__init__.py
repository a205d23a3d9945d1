"""AMAD, Attention Map Alignment Distillation: the specification, in NumPy and float64.

Zhao et al., "No Head Left Behind - Multi-Head Alignment Distillation for Transformers", AAAI 2024.
The adapters ``amad_torch`` and ``amad_tensorflow`` give the same functions for training; the
methods that AMAD is compared with are in ``amad_core.peers``.
"""

from amad_core.alignment import alignment_weights
from amad_core.gradient import amad_loss_and_grad
from amad_core.layer_losses import LayersLoss, amad_layers_loss
from amad_core.layers import LayerPair, layer_pairs
from amad_core.loss import amad_loss
from amad_core.masks import cell_mask
from amad_core.output_losses import (
    output_loss,
    output_loss_and_grad,
    task_loss,
    task_loss_and_grad,
)
from amad_core.schedule import LinearRamp
from amad_core.total import TotalLoss, total_loss
from amad_core.variants import VARIANTS

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
