"""Attention and its loss on the TensorFlow backend, by ``amad_tensorflow``."""

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from amad_core.training.schedule import Weight
from amad_keras.backends.relations import relations_loss
from amad_keras.capture.capturing import capture_attention
from amad_keras.capture.layer_attention import LayerAttention, attention_scores
from amad_keras.matching import Pair
from amad_tensorflow.attention.alignment import alignment_weights
from amad_tensorflow.attention.inputs import Tensor
from amad_tensorflow.peers.table import METHODS, distillation_loss
from amad_tensorflow.training.total import total_loss

__all__ = [
    "METHODS",
    "alignment_weights",
    "attention_loss",
    "capture_attention",
    "counted_cells",
    "replica_share",
    "weighted",
]


def attention_loss(
    pair: Pair, student: Sequence[LayerAttention], method: str, options: Mapping[str, Any]
) -> Tensor:
    """The loss of one pair, a scalar: mean over samples.

    Args:
        student: all its layers in the order of their calls, which tell its tokens.
    """
    cells = counted_cells(pair.student, student)
    inputs = METHODS[method].inputs
    if inputs == "vectors":
        return relations_loss(distillation_loss, pair, method, cells, options)
    if inputs == "scores":
        for layer in pair:
            if layer.mask is not None:
                seen = tf.reduce_all(layer.mask, axis=1)
                cells = seen if cells is None else cells & seen
        compared = [attention_scores(layer.attended) for layer in pair]
    else:
        compared = [layer.maps for layer in pair]
    if method == "squeezing_heads":
        options = {"teacher_values": pair.teacher.head_outputs, **options}
    return distillation_loss(
        name=method, teacher=compared[0], student=compared[1], mask=cells, **options
    )


def counted_cells(layer: LayerAttention, others: Sequence[LayerAttention]) -> Tensor | None:
    """The boolean mask ``[B, Q, K]`` of real tokens; ``None``: every cell counts.

    A key is real where a query sees it. Queries are the keys of self-attention: of this one, or,
    as masks of Keras get lost on their way through a model, of the last one before it that says.
    """
    place = next(index for index, one in enumerate(others) if one is layer)
    of_queries = (
        _real_keys(one)
        for one in reversed(others[: place + 1])
        if one.kind == "self" and one.shape[2] == layer.shape[2]
    )
    queries = next((real for real in of_queries if real is not None), None)
    keys = queries if layer.kind == "self" else _real_keys(layer)
    if keys is None and queries is None:
        return None
    rows = tf.constant(True) if queries is None else queries[:, :, tf.newaxis]
    columns = tf.constant(True) if keys is None else keys[:, tf.newaxis, :]
    return rows & columns


def _real_keys(layer: LayerAttention) -> Tensor | None:
    """``[B, K]``, from the layer's mask; where it is not known, from cells that are not 0."""
    seen = layer.mask if layer.knows_queries_and_keys else layer.maps > 0
    if seen is None:
        return None
    length = tf.shape(layer.maps)[-1:]
    real = tf.reduce_any(seen, axis=[1, 2])
    return tf.broadcast_to(real, tf.concat([tf.shape(real)[:1], length], 0))


def weighted(loss: Tensor, weight: Weight, step: Tensor | None) -> Tensor:
    """The loss times a weight, or a ramp at a step."""
    return total_loss(attention=loss, attention_weight=weight, step=step).total


def replica_share(loss: Tensor) -> Tensor:
    """This replica's share of the mean over all, as gradients of replicas are added up."""
    return loss / tf.distribute.get_strategy().num_replicas_in_sync
