"""Two models in, one loss out: which layers are compared, over which tokens, by which method."""

from amad_pictures import plot_alignment
from amad_torch.distillation.callback import DistillationCallback
from amad_torch.distillation.distiller import Distiller
from amad_torch.distillation.match import AttentionMatch
from amad_torch.distillation.measured_alignment import measure_alignment
from amad_torch.distillation.output import DistillationOutput
from amad_torch.distillation.suggestion import Suggestion

__all__ = [
    "AttentionMatch",
    "DistillationCallback",
    "DistillationOutput",
    "Distiller",
    "Suggestion",
    "measure_alignment",
    "plot_alignment",
]
