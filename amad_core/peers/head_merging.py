"""SHD, Squeezing-Heads Distillation: neighbouring teacher heads merged until as many are left."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from amad_core.arguments.maps import check_eps, check_temperature
from amad_core.arguments.peers import check_squeezable
from amad_core.attention.inputs import BoolArray, FloatArray, floating
from amad_core.attention.similarity import scaled_to_peak, scaled_to_peak_gradient
from amad_core.peers.comparison import mean_row_kl, mean_row_kl_gradient
from amad_core.peers.inputs import finite_where, maps_and_cells
from amad_core.peers.reduction import reduced


class Squeezed(NamedTuple):
    """The merged teacher and the student, softened, ``[B, Hs, Q, K]``; the student as it came."""

    teacher: FloatArray
    softened: FloatArray
    student: FloatArray
    valid: BoolArray
    temperature: float


def squeezing_heads(
    *,
    teacher: ArrayLike,
    student: ArrayLike,
    teacher_values: ArrayLike,
    temperature: float = 1.0,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    eps: float = 0.0,
) -> FloatArray:
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
        eps: floor on the student's softened cell inside the logarithm, at least 0.

    Returns:
        A scalar, or ``[B]`` with ``reduction="none"``; float64.

    Raises:
        TypeError: arrays that are not real floats, a mask that is not boolean.
        ValueError: maps as ``amad_loss`` refuses them, more student than teacher heads, values of
            the wrong shape, a temperature of 0 or below, a negative ``eps``, an unknown reduction;
            values that are NaN or infinite.

    Source: Bing, Li, Liang, "Optimizing Knowledge Distillation in Transformers: Enabling
    Multi-Head Attention without Alignment Barriers", arXiv 2502.07436, 2025.
    """
    found = _squeezed(teacher, student, teacher_values, temperature, mask, eps)
    losses = mean_row_kl(found.teacher, found.softened, found.valid, float(eps))
    return reduced(losses, reduction)


def squeezing_heads_gradient(
    *,
    teacher: ArrayLike,
    student: ArrayLike,
    teacher_values: ArrayLike,
    temperature: float = 1.0,
    mask: ArrayLike | None = None,
    eps: float = 0.0,
) -> Mapping[str, FloatArray]:
    """``(q - p) / (τ s Hs r)`` with ``p``, ``q`` the softened rows, of the sum over the batch.

    At ``s = 0`` with ``τ > 1`` the derivative is infinite where the teacher has no mass either; it
    is 0 there, as for a masked cell [D24].
    """
    found = _squeezed(teacher, student, teacher_values, temperature, mask, eps)
    upstream = mean_row_kl_gradient(found.teacher, found.softened, found.valid, float(eps))
    infinite = np.isinf(upstream)
    by_scaled = np.where(infinite, 0.0, upstream) / found.temperature
    by_scaled = by_scaled * _power(found.student, 1 / found.temperature - 1)
    by_scaled = np.where(infinite, upstream, by_scaled)
    gradient = scaled_to_peak_gradient(found.student, by_scaled)
    return {"student": np.where(found.valid[:, np.newaxis], gradient, 0.0)}


def squeezed_heads(teacher: FloatArray, values: FloatArray, heads: int) -> FloatArray:
    """Teacher maps ``[B, Ht, Q, K]`` merged pairwise from the front into ``heads`` maps."""
    while teacher.shape[1] > heads:
        pairs = min(teacher.shape[1] // 2, teacher.shape[1] - heads)
        (first, second, rest) = _neighbours(teacher, pairs)
        (first_values, second_values, other_values) = _neighbours(values, pairs)
        share = merging_share(first, second, first_values, second_values)
        merged = share * first + (1 - share) * second
        teacher = np.concatenate([merged, rest], axis=1)
        values = np.concatenate([first_values + second_values, other_values], axis=1)
    return teacher


def merging_share(
    first: FloatArray, second: FloatArray, first_values: FloatArray, second_values: FloatArray
) -> FloatArray:
    """``a = <D X_1, D Y> / ‖D Y‖²`` in [0, 1], ``[B, H, 1, 1]``; 1/2 where ``D Y = 0``."""
    difference = _scaled(first - second)
    change = difference @ first_values
    whole = difference @ (first_values + second_values)
    # `a` is homogeneous of degree 0: one scale for both keeps the squares within range.
    scale = np.maximum(_peak(change), _peak(whole))
    change, whole = change / _or_one(scale), whole / _or_one(scale)
    norm = np.sum(whole**2, axis=(2, 3), keepdims=True)
    share = np.sum(change * whole, axis=(2, 3), keepdims=True) / _or_one(norm)
    return np.where(norm > 0, np.clip(share, 0.0, 1.0), 0.5)


def _squeezed(
    teacher: ArrayLike,
    student: ArrayLike,
    teacher_values: ArrayLike,
    temperature: float,
    mask: ArrayLike | None,
    eps: float,
) -> Squeezed:
    check_temperature(temperature)
    check_eps(eps)
    teacher_maps, student_maps, valid = maps_and_cells(teacher, student, mask)
    values = floating("teacher_values", teacher_values)
    check_squeezable(teacher_maps.shape, student_maps.shape, values.shape)
    counts = np.any(valid, axis=1)[:, np.newaxis, :, np.newaxis]
    values = _scaled_sample(finite_where("teacher_values", values, counts))
    merged = squeezed_heads(teacher_maps, values, student_maps.shape[1])
    exponent = 1 / float(temperature)
    return Squeezed(
        teacher=_power(merged, exponent),
        softened=_power(student_maps, exponent),
        student=student_maps,
        valid=valid,
        temperature=float(temperature),
    )


def _power(maps: FloatArray, exponent: float) -> FloatArray:
    """Each row over its largest cell, to a power; 0 to a negative power is 0 (see the gradient)."""
    scaled = scaled_to_peak(maps)
    return np.where((scaled > 0) | (exponent >= 0), _or_one(scaled, exponent < 0) ** exponent, 0.0)


def _neighbours(heads: FloatArray, pairs: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    return heads[:, 0 : 2 * pairs : 2], heads[:, 1 : 2 * pairs : 2], heads[:, 2 * pairs :]


def _scaled(heads: FloatArray) -> FloatArray:
    return heads / _or_one(_peak(heads))


def _scaled_sample(values: FloatArray) -> FloatArray:
    return values / _or_one(np.max(np.abs(values), axis=(1, 2, 3), keepdims=True))


def _peak(heads: FloatArray) -> FloatArray:
    return np.asarray(np.max(np.abs(heads), axis=(2, 3), keepdims=True))


def _or_one(values: FloatArray, where_zero: bool = True) -> FloatArray:
    return np.where((values == 0) & where_zero, 1.0, values)
