"""AMAD for Keras on any of its backends: capture of attention, and a loss for its Distiller."""

from importlib import import_module

from amad_core.arguments.extras import missing_framework

try:
    import_module("keras")
except ModuleNotFoundError as error:
    raise missing_framework(__name__, error, "keras") from error

from amad_core.training.schedule import LinearRamp
from amad_keras.alignment import AlignmentImages, measure_alignment
from amad_keras.attention.loss import amad_loss
from amad_keras.capture import CapturedAttention, LayerAttention, capture_attention
from amad_keras.distillation import AttentionDistillation
from amad_pictures import plot_alignment

__all__ = [
    "AlignmentImages",
    "AttentionDistillation",
    "CapturedAttention",
    "LayerAttention",
    "LinearRamp",
    "amad_loss",
    "capture_attention",
    "measure_alignment",
    "plot_alignment",
]
