"""AMAD inside Keras's own distillation: a loss for the stock ``keras.distillation.Distiller``."""

from importlib import import_module

from amad_core.arguments.extras import missing_framework

try:
    import_module("keras")
except ModuleNotFoundError as error:
    raise missing_framework(__name__, error, "tensorflow") from error

from amad_keras.alignment import AlignmentImages, measure_alignment
from amad_keras.distillation import AttentionDistillation
from amad_pictures import plot_alignment

__all__ = ["AlignmentImages", "AttentionDistillation", "measure_alignment", "plot_alignment"]
