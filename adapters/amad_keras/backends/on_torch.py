"""The loss on the PyTorch backend, by ``amad_torch``."""

from typing import Any

from amad_core.training.schedule import Weight
from amad_keras.capture.tensors import Tensor
from amad_torch.attention.alignment import alignment_weights
from amad_torch.peers.table import METHODS, distillation_loss
from amad_torch.training.total import total_loss

__all__ = [
    "METHODS",
    "alignment_weights",
    "check_compiled",
    "distillation_loss",
    "replica_share",
    "weighted",
]


def weighted(loss: Tensor, weight: Weight, step: Tensor | None) -> Tensor:
    """The loss times a weight, or a ramp at a step."""
    now = None if step is None else int(step)
    return total_loss(attention=loss, attention_weight=weight, step=now).total


def replica_share(loss: Tensor) -> Tensor:
    """The loss: gradients are not added up over replicas here."""
    return loss


def check_compiled(distiller: Any) -> None:
    """Raise where ``torch.compile`` would run the models, whose calls cannot be watched then."""
    if distiller.jit_compile:
        raise ValueError(
            "jit_compile must be False or 'auto' with an AttentionDistillation on Keras's PyTorch "
            "backend: attention is captured as PyTorch's functions are called, which torch.compile "
            "does once and elsewhere; got True"
        )
