"""Layer losses: the loss summed over pairs of layers."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from amad_core.training.layers import (
    LayerPair,
    Layers,
    naming_pair,
    one_for_each_pair,
    paired_layers,
)
from amad_tensorflow.attention.inputs import Tensor
from amad_tensorflow.attention.loss import amad_loss
from amad_tensorflow.attention.tracing import as_written


class LayersLoss(NamedTuple):
    """The sum over the layer pairs, its terms, and the pairs they belong to, in one order."""

    total: Tensor
    per_layer: tuple[Tensor, ...]
    pairs: tuple[LayerPair, ...]


@as_written
def amad_layers_loss(
    *,
    teacher: Sequence[Tensor],
    student: Sequence[Tensor],
    layers: Layers = "uniform",
    variant: str = "mse",
    temperature: float = 1.0,
    reduction: str = "mean",
    mask: Tensor | Sequence[Tensor | None] | None = None,
    eps: float | None = None,
    weight: Tensor | Sequence[Tensor] | None = None,
    bias: Tensor | Sequence[Tensor] | None = None,
    check_values: bool | None = None,
    implementation: str = "auto",
) -> LayersLoss:
    """``Σ_(layer pairs) L_AMAD``: ``amad_loss`` of every pair of layers, and their sum.

    Args:
        teacher: one map ``[B, Ht, Q, K]`` a layer, a list or tuple; heads may differ by layer.
            ``None`` for a layer that is in no pair.
        student: one map ``[B, Hs, Q, K]`` a layer, likewise.
        layers: which teacher layer teaches which student layer, as in ``layer_pairs``.
        variant, temperature, reduction, eps, check_values, implementation: as in ``amad_loss``.
        mask: as in ``amad_loss``, for all pairs; or a list or tuple with one mask, or ``None``,
            for each pair.
        weight, bias: as in ``amad_loss``, shared by all pairs; or a list or tuple with one for
            each pair.

    Returns:
        ``total``, ``per_layer`` and ``pairs``; scalars, or ``[B]`` with ``reduction="none"``. The
        total is the sum over the pairs, not their mean.

    Raises:
        TypeError, ValueError: as ``amad_loss`` and ``layer_pairs``, the layers named; a
            sequence of maps that is missing or empty, or without a map at a layer of a pair, which
            is what a model that computes no attention maps returns.

    Source: Zhao et al., "No Head Left Behind", AAAI 2024; the sum, this project's decision [D23].

    Examples:
        >>> teacher = tf.constant([[[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]]])
        >>> student = tf.constant([[[[0.8, 0.2], [0.4, 0.6]]]])
        >>> loss = amad_layers_loss(teacher=[teacher, teacher], student=[student])
        >>> round(float(loss.total), 4), [tuple(pair) for pair in loss.pairs]
        (1.0186, [(1, 0)])
    """
    pairs = paired_layers(teacher, student, layers)
    losses: list[Tensor] = []
    for pair, pair_mask, pair_weight, pair_bias in zip(
        pairs,
        one_for_each_pair("mask", mask, pairs),
        one_for_each_pair("weight", weight, pairs),
        one_for_each_pair("bias", bias, pairs),
        strict=True,
    ):
        with naming_pair(pair):
            loss = amad_loss(
                teacher=teacher[pair.teacher],
                student=student[pair.student],
                variant=variant,
                temperature=temperature,
                reduction=reduction,
                mask=pair_mask,
                eps=eps,
                weight=pair_weight,
                bias=pair_bias,
                check_values=check_values,
                implementation=implementation,
            )
        losses.append(loss)
    return LayersLoss(tf.add_n(losses), tuple(losses), tuple(pairs))
