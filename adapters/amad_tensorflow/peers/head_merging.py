"""SHD, Squeezing-Heads Distillation: neighbouring teacher heads merged until as many are left."""

import tensorflow as tf

from amad_core.arguments.maps import check_eps, check_temperature
from amad_core.arguments.peers import check_squeezable
from amad_tensorflow.attention.inputs import Tensor, floating, known_shape
from amad_tensorflow.attention.similarity import scaled_to_peak
from amad_tensorflow.peers.comparison import mean_row_kl
from amad_tensorflow.peers.inputs import finite_where, maps_and_cells
from amad_tensorflow.peers.reduction import reduced


def squeezing_heads(
    *,
    teacher: Tensor,
    student: Tensor,
    teacher_values: Tensor,
    temperature: float = 1.0,
    reduction: str = "mean",
    mask: Tensor | None = None,
    eps: float | None = None,
    check_values: bool | None = None,
) -> Tensor:
    """Mean KL divergence of student rows from those of merged teacher heads, softened; >= 0.

    Neighbours are merged, ``Ã = a A_1 + (1 - a) A_2``, until ``Hs`` heads are left; then
    ``1/(Hs r) Σ_i Σ_q KL(soft(Ã_iq) ‖ soft(s_iq))`` with ``soft(p)_k = p_k^{1/τ} / Σ p^{1/τ}``.

    The text of the paper's own equation for ``a`` was not available to us. ``a`` is derived here
    from its aim, that one head stands for two with little change of their joint output: it
    minimises ``‖A_1 X_1 + A_2 X_2 - Ã (X_1 + X_2)‖_F`` for each sample and pair. With
    ``D = A_1 - A_2`` and ``Y = X_1 + X_2`` that is ``‖D X_1 - a D Y‖_F``, least at
    ``a = <D X_1, D Y> / ‖D Y‖²``, clamped to [0, 1] so that ``Ã`` stays a distribution, 1/2 where
    ``D Y = 0``. The merged head's values are ``Y``.

    Each round merges neighbours from the front, as many pairs as are needed and there are; an odd
    head is kept for the next round (9, 5, 3 heads; 12 to 8 merges the first four pairs) [D24]. The
    means over heads and rows, and no ``τ²``: the paper's reduction was not available [D24].

    Args:
        teacher: maps ``[B, Ht, Q, K]``, non-negative floats, ``Ht >= Hs``; gets no gradient.
        student: maps ``[B, Hs, Q, K]``, non-negative floats.
        teacher_values: ``X_i = V_i W_O,i`` ``[B, Ht, K, D]``, what teacher head i adds to the
            output for each key: its values times its part of the output projection; no gradient.
        temperature: τ > 0; above 1 it flattens both sides.
        reduction: over the batch: ``"mean"``, ``"sum"``, or ``"none"`` for one loss a sample.
        mask: boolean, broadcastable to ``[B, Q, K]``, true where a cell counts; ``None``: all do.
            Values of a key of which no cell counts have no influence.
        eps, check_values: as in ``one_to_one_kl``; ``eps`` on the student's softened cell.

    Returns:
        A scalar, or ``[B]`` with ``reduction="none"``; float64 where a map is float64, else
        float32.

    Raises:
        TypeError: arrays that are not real floats, a mask that is not boolean.
        ValueError: maps as ``amad_loss`` refuses them, more student than teacher
            heads, values of the wrong shape, a temperature of 0 or below, a negative ``eps``, an
            unknown reduction; as far as values are checked, values that are NaN or infinite.

    Source: Bing, Li, Liang, "Optimizing Knowledge Distillation in Transformers: Enabling
    Multi-Head Attention without Alignment Barriers", arXiv 2502.07436, 2025.
    """
    check_temperature(temperature)
    if eps is not None:
        check_eps(eps)
    values = floating("teacher_values", teacher_values)
    teacher, student, valid = maps_and_cells(teacher, student, mask, check_values)
    shapes = [known_shape(tensor) for tensor in (teacher, student, values)]
    check_squeezable(*shapes)
    values = tf.stop_gradient(tf.cast(values, student.dtype))
    counts = tf.reduce_any(valid, axis=1)[:, tf.newaxis, :, tf.newaxis]
    values = _scaled(finite_where("teacher_values", values, counts, check_values), [1, 2, 3])
    merged = squeezed_heads(teacher, values, student.shape[1])
    softened = _softened(merged, temperature), _softened(student, temperature)
    return reduced(mean_row_kl(*softened, valid, eps), reduction)


def squeezed_heads(teacher: Tensor, values: Tensor, heads: int) -> Tensor:
    """Teacher maps ``[B, Ht, Q, K]`` merged pairwise from the front into ``heads`` maps."""
    while teacher.shape[1] > heads:
        pairs = min(teacher.shape[1] // 2, teacher.shape[1] - heads)
        first, second, rest = _neighbours(teacher, pairs)
        first_values, second_values, other_values = _neighbours(values, pairs)
        share = merging_share(first, second, first_values, second_values)
        merged = share * first + (1 - share) * second
        teacher = tf.concat([merged, rest], axis=1)
        values = tf.concat([first_values + second_values, other_values], axis=1)
    return teacher


def merging_share(
    first: Tensor, second: Tensor, first_values: Tensor, second_values: Tensor
) -> Tensor:
    """``a = <D X_1, D Y> / ‖D Y‖²`` in [0, 1], ``[B, H, 1, 1]``; 1/2 where ``D Y = 0``."""
    difference = _scaled(first - second, [2, 3])
    change = tf.matmul(difference, first_values)
    whole = tf.matmul(difference, first_values + second_values)
    # `a` is homogeneous of degree 0: one scale for both keeps the squares within range.
    scale = tf.maximum(_peak(change, [2, 3]), _peak(whole, [2, 3]))
    change, whole = change / _or_one(scale), whole / _or_one(scale)
    norm = tf.reduce_sum(tf.square(whole), axis=[2, 3], keepdims=True)
    share = tf.reduce_sum(change * whole, axis=[2, 3], keepdims=True) / _or_one(norm)
    return tf.where(norm > 0, tf.clip_by_value(share, 0.0, 1.0), tf.ones_like(norm) / 2)


def _softened(maps: Tensor, temperature: float) -> Tensor:
    scaled = scaled_to_peak(maps)
    if temperature == 1:
        return scaled
    # The power has an infinite derivative at 0 for τ > 1: there it counts as 0 [D24].
    holds = scaled > 0
    power = tf.pow(tf.where(holds, scaled, tf.ones_like(scaled)), 1 / temperature)
    return tf.where(holds, power, tf.zeros_like(scaled))


def _neighbours(heads: Tensor, pairs: int) -> tuple[Tensor, Tensor, Tensor]:
    return heads[:, 0 : 2 * pairs : 2], heads[:, 1 : 2 * pairs : 2], heads[:, 2 * pairs :]


def _scaled(heads: Tensor, axes: list[int]) -> Tensor:
    return heads / _or_one(_peak(heads, axes))


def _peak(heads: Tensor, axes: list[int]) -> Tensor:
    return tf.reduce_max(tf.abs(heads), axis=axes, keepdims=True)


def _or_one(values: Tensor) -> Tensor:
    return tf.where(values == 0, tf.ones_like(values), values)
