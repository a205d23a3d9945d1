"""The masks that Keras attaches to attention scores, as masks of cells."""

import tensorflow as tf

from amad_core.arguments.maps import check_map_shape
from amad_core.arguments.words import shown
from amad_tensorflow.attention.inputs import Tensor, as_tensor, broadcast_mask, known_shape


def masked_maps(argument: str, maps: Tensor, mask: Tensor) -> Tensor:
    """``[B, H, Q, K]`` with 0 where Keras's mask ``[B, Q, K]`` or ``[B, 1, Q, K]`` is false."""
    maps = as_tensor(argument, maps)
    check_map_shape(argument, known_shape(maps))
    mask = tf.cast(mask, tf.bool)
    if mask.shape.rank not in (3, 4):
        raise ValueError(
            "y_pred carries a Keras mask that must be [batch, queries, keys] or "
            f"[batch, heads, queries, keys]; got shape {mask.shape}"
        )
    valid = broadcast_mask(mask_for_all_heads("the Keras mask of y_pred", mask), maps)
    return tf.where(valid[:, tf.newaxis], maps, tf.zeros_like(maps))


def mask_for_all_heads(argument: str, mask: Tensor) -> Tensor:
    """A mask ``[B, H, Q, K]`` without its heads; one of fewer axes as it is.

    There is one mask for all heads. Where it has several, they must be the same, which only an
    eager look can tell: a graph, whose assertions XLA drops, refuses them.
    """
    mask = as_tensor(argument, mask)
    if mask.shape.rank != 4:
        return mask
    first = mask[:, :1]
    if mask.shape[1] != 1:
        if not tf.executing_eagerly():
            raise ValueError(
                f"{argument} must have one head in a graph, [batch, 1, queries, keys]; got shape "
                f"{shown(known_shape(mask))} (write mask[:, :1] where every head has the same)"
            )
        if not bool(tf.reduce_all(tf.equal(mask, first))):
            raise ValueError(
                f"{argument} must be the same for all heads; got heads that differ, shape "
                f"{shown(known_shape(mask))} (AMAD compares every teacher head with every student "
                "head, cell by cell: a mask for each head has no meaning)"
            )
    return first[:, 0]
