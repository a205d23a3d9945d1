"""The loss on the TensorFlow backend, by ``amad_tensorflow``."""

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from amad_core.training.schedule import Weight
from amad_keras.capture.tensors import Tensor
from amad_tensorflow.attention.alignment import alignment_weights
from amad_tensorflow.peers.table import METHODS, distillation_loss
from amad_tensorflow.training.total import total_loss

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
) -> None:
    """None: Keras's attention on TensorFlow has its maps in any case."""


def weighted(loss: Tensor, weight: Weight, step: Tensor | None) -> Tensor:
    """The loss times a weight, or a ramp at a step."""
    return total_loss(attention=loss, attention_weight=weight, step=step).total


def replica_share(loss: Tensor) -> Tensor:
    """This replica's share of the mean over all, as gradients of replicas are added up."""
    return loss / tf.distribute.get_strategy().num_replicas_in_sync


def check_compiled(distiller: Any) -> None:
    """Every way to compile will do."""
