"""The learned projection of eq. 10 as a Keras layer: attention maps in, projected maps out."""

from typing import Any

import keras
import tensorflow as tf

from amad_core.arguments.maps import check_cells, check_map_shape, check_projection
from amad_tensorflow.attention.inputs import (
    Tensor,
    accumulation_dtype,
    broadcast_mask,
    floating,
    known_shape,
    whole_maps,
)
from amad_tensorflow.attention.projection import projected_heads
from amad_tensorflow.keras.masks import mask_for_all_heads


@keras.saving.register_keras_serializable(package="amad")
class AMADProjection(keras.layers.Layer):  # type: ignore[misc]
    """``s̃_j = ReLU(W s_j/|s_j|_1 + b)`` (eq. 10), with ``W`` and ``b`` to be trained.

    The variant ``projected`` is the variant ``kl`` of what this layer makes of the student's maps:

        projection = AMADProjection(cells=queries * keys)
        amad_loss(teacher=teacher, student=projection(student), variant="kl", eps=1e-6)

    or, the same, ``variant="projected", weight=projection.weight, bias=projection.bias``. ReLU
    makes exact zeros, so training wants an ``eps`` above the default.

    Args:
        cells: ``n = queries * keys`` of the maps. ``weight`` ``[n, n]`` is the identity at first,
            ``bias`` ``[n]`` zeros, so that training begins at the variant ``kl``.
        options: ``name``, ``dtype`` and ``trainable``, as in every Keras layer; maps are projected
            in float32 (float64 where they or the weights are), under a mixed-precision policy too.

    Raises:
        TypeError, ValueError: ``cells`` that is no positive integer, or so many that the weight
            would exceed 4 GiB.
        RuntimeError: Keras runs on another backend than TensorFlow.
    """

    def __init__(self, *, cells: int, **options: Any) -> None:
        if keras.config.backend() != "tensorflow":
            raise RuntimeError(
                "amad_tensorflow.AMADProjection needs Keras on its TensorFlow backend; got the "
                f"backend {keras.config.backend()!r} (set KERAS_BACKEND=tensorflow, or use "
                "amad_torch)"
            )
        check_cells("projected", cells)
        # Else a mixed-precision policy would cast maps and weights to half precision.
        super().__init__(autocast=False, **options)
        self.supports_masking = True  # a mask that Keras attached to the maps stays attached
        self.cells = cells
        self.weight = self.add_weight(
            name="weight", shape=(cells, cells), initializer="identity", autocast=False
        )
        self.bias = self.add_weight(
            name="bias", shape=(cells,), initializer="zeros", autocast=False
        )

    def call(self, maps: Tensor, mask: Tensor | None = None) -> Tensor:
        """``[B, H, Q, K]`` to the same shape, 0 in masked cells.

        ``mask`` is that of ``amad_loss``, boolean ``[B, Q, K]``; the mask that Keras itself
        attaches to attention scores, ``[B, 1, Q, K]``, is understood too.
        """
        maps = floating("maps", maps)
        shape = known_shape(maps)
        check_map_shape("maps", shape)
        check_projection("projected", self.weight.shape, self.bias.shape, shape)
        weight, bias = tf.convert_to_tensor(self.weight), tf.convert_to_tensor(self.bias)
        dtype = accumulation_dtype(maps, weight)
        maps = tf.cast(maps, dtype)
        valid = broadcast_mask(None if mask is None else mask_for_all_heads("mask", mask), maps)
        maps = tf.where(valid[:, tf.newaxis], maps, tf.zeros_like(maps))
        heads = projected_heads(
            whole_maps(maps), tf.cast(weight, dtype), tf.cast(bias, dtype), valid
        )
        return tf.ensure_shape(tf.reshape(heads, tf.shape(maps)), shape)

    def compute_output_shape(self, maps_shape: Any) -> Any:
        """That of the maps."""
        return maps_shape

    def get_config(self) -> dict[str, Any]:
        """What makes the same layer again."""
        return {**super().get_config(), "cells": self.cells}
