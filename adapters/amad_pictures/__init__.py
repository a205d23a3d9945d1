"""Pictures of distillation, drawn from numbers: the same for every framework."""

from amad_pictures.alignment import plot_alignment

__all__ = ["plot_alignment"]
