"""Which student heads each teacher head is explained by in a Distiller of Keras."""

from amad_keras.alignment.images import AlignmentImages
from amad_keras.alignment.measured import measure_alignment

__all__ = ["AlignmentImages", "measure_alignment"]
