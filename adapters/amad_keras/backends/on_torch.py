"""The loss on the PyTorch backend, by ``amad_torch``."""

from collections.abc import Mapping, Sequence
from typing import Any

from amad_core.training.schedule import Weight
from amad_keras.capture.tensors import Tensor
from amad_torch.attention.alignment import alignment_weights
from amad_torch.distillation.streamed import is_better_streamed
from amad_torch.peers.table import METHODS, distillation_loss
from amad_torch.streaming import QueriesKeys, amad_loss_from_queries_and_keys
from amad_torch.training.total import total_loss

__all__ = [
    "METHODS",
    "alignment_weights",
    "check_compiled",
    "distillation_loss",
    "replica_share",
    "streamed_loss",
    "weighted",
]


def streamed_loss(
    layers: Sequence[Any], method: str, mask: Tensor | None, options: Mapping[str, Any]
) -> Tensor | None:
    """The loss of teacher's and student's layer from queries and keys; ``None``: maps do better.

    As in ``amad_torch.Distiller``: where both models run fused attention, which builds no maps, and
    these would be large.
    """
    if not is_better_streamed(layers, method, options):
        return None
    teacher, student = (QueriesKeys(**layer.attended._asdict()) for layer in layers)
    return amad_loss_from_queries_and_keys(
        teacher=teacher,
        student=student,
        variant=method.removeprefix("amad_"),
        mask=mask,
        **options,
    )


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
