"""One head against one head: head i with head i, mean with mean, or matched by an assignment.

Each peer is a pairing and a comparison. The comparisons are means, as the methods' authors take
them, not AMAD's sums: over the pairs of heads, and over the cells (``mse``) or query rows (``kl``)
that count. ``kl`` divides each row by its sum, masked cells taken out first. On post-softmax maps
that changes no value, and the derivative only by a constant a row, which the softmax before it
cancels; where dropout or a window took mass out of a row, it keeps the divergence non-negative.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

from amad_core.arguments.maps import check_eps
from amad_core.attention.inputs import BoolArray, FloatArray, whole_maps
from amad_core.attention.similarity import cosine_similarity, scaled_to_peak
from amad_core.peers.comparison import (
    mean_row_kl,
    mean_row_kl_gradient,
    mean_squared_error,
    mean_squared_error_gradient,
)
from amad_core.peers.inputs import maps_and_cells
from amad_core.peers.reduction import reduced


class Pairs(NamedTuple):
    """Heads that meet, ``[B, H, Q, K]`` a side; ``spread`` takes a gradient back to all heads."""

    teacher: FloatArray
    student: FloatArray
    spread: Callable[[FloatArray], FloatArray]


Pairing = Callable[[FloatArray, FloatArray], Pairs]
Gradients = Mapping[str, FloatArray]


def first_heads(teacher: FloatArray, student: FloatArray) -> Pairs:
    """Head i with head i, for ``i < min(Ht, Hs)``."""
    heads = min(teacher.shape[1], student.shape[1])

    def spread(gradient: FloatArray) -> FloatArray:
        whole = np.zeros_like(student)
        whole[:, :heads] = gradient
        return whole

    return Pairs(teacher[:, :heads], student[:, :heads], spread)


def mean_heads(teacher: FloatArray, student: FloatArray) -> Pairs:
    """The mean of all teacher heads with the mean of all student heads."""

    def spread(gradient: FloatArray) -> FloatArray:
        return np.asarray(np.broadcast_to(gradient / student.shape[1], student.shape))

    return Pairs(
        np.mean(teacher, axis=1, keepdims=True), np.mean(student, axis=1, keepdims=True), spread
    )


def matched_heads(teacher: FloatArray, student: FloatArray) -> Pairs:
    """The one-to-one assignment with the greatest sum of cosines, for each sample its own."""
    heads = (scaled_to_peak(whole_maps(maps)) for maps in (teacher, student))
    cosines = cosine_similarity(*heads)
    rows, columns = assignment(cosines)
    samples = np.arange(len(teacher))[:, np.newaxis]

    def spread(gradient: FloatArray) -> FloatArray:
        whole = np.zeros_like(student)
        whole[samples, columns] = gradient
        return whole

    return Pairs(teacher[samples, rows], student[samples, columns], spread)


def assignment(cosines: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Teacher heads and their student heads, ``[B, min(Ht, Hs)]`` each, of ``[B, Ht, Hs]``."""
    matched = [linear_sum_assignment(sample, maximize=True) for sample in cosines]
    rows, columns = zip(*matched, strict=True)
    return np.stack(rows), np.stack(columns)


def one_to_one_mse(
    *,
    teacher: ArrayLike,
    student: ArrayLike,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
) -> FloatArray:
    """Mean squared difference of head i and head i; in [0, 1] for post-softmax maps.

    ``1/(H n) Σ_i Σ_qk (t_iqk - s_iqk)²`` with ``H = min(Ht, Hs)`` and ``n`` the cells of the sample
    that count. Extra teacher heads are dropped, extra student heads unused, as is conventional.
    Without a mask the batch mean is the elementwise mean over ``[B, H, Q, K]`` that frameworks
    call MSE loss.

    Args:
        teacher: maps ``[B, Ht, Q, K]``, non-negative floats; gets no gradient.
        student: maps ``[B, Hs, Q, K]``, non-negative floats.
        reduction: over the batch: ``"mean"``, ``"sum"``, or ``"none"`` for one loss a sample.
        mask: boolean, broadcastable to ``[B, Q, K]``, true where a cell counts; ``None``: all do.
            What a masked cell holds has no influence; a sample without any that counts gives 0.

    Returns:
        A scalar, or ``[B]`` with ``reduction="none"``; float64.

    Raises:
        TypeError: maps that are not real floats, a mask that is not boolean.
        ValueError: wrong rank, mismatched batch, queries or keys, an empty axis, a mask that does
            not broadcast, an unknown reduction; negative, NaN or infinite cells that count.

    Source: attention loss of Jiao et al., "TinyBERT", Findings of EMNLP 2020, on probabilities, as
    in Fang et al., "Compressing Visual-linguistic Model via Knowledge Distillation", ICCV 2021.
    """
    return reduced(_mse(first_heads, teacher, student, mask), reduction)


def one_to_one_mse_gradient(
    *, teacher: ArrayLike, student: ArrayLike, mask: ArrayLike | None = None
) -> Gradients:
    """``∂/∂s_i = -2 (t_i - s_i) / (H n)`` of the sum over the batch; 0 for unused heads."""
    return _mse_gradient(first_heads, teacher, student, mask)


def one_to_one_kl(
    *,
    teacher: ArrayLike,
    student: ArrayLike,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    eps: float = 0.0,
) -> FloatArray:
    """Mean KL divergence of the query rows of head i from those of head i, teacher first; >= 0.

    ``1/(H r) Σ_i Σ_q KL(t_iq/|t_iq|_1 ‖ s_iq/|s_iq|_1)`` with ``H = min(Ht, Hs)`` and ``r`` the
    query rows of the sample with a cell that counts.

    Args:
        teacher, student, reduction, mask: as in ``one_to_one_mse``.
        eps: floor on the student's cell inside the logarithm, at least 0; 0 is the exact
            definition: ``+inf`` where a teacher cell has mass and its student cell has none.

    Returns:
        A scalar, or ``[B]``, as ``one_to_one_mse``.

    Raises:
        TypeError, ValueError: as ``one_to_one_mse``; a negative or non-finite ``eps``.

    Source: attention transfer of Sun et al., "MobileBERT", ACL 2020.
    """
    return reduced(_kl(first_heads, teacher, student, mask, eps), reduction)


def one_to_one_kl_gradient(
    *,
    teacher: ArrayLike,
    student: ArrayLike,
    mask: ArrayLike | None = None,
    eps: float = 0.0,
) -> Gradients:
    """``∂/∂s_iqk = (1 - p/q) / (H r |s_iq|_1)`` of the sum over the batch; ``p``, ``q`` rows."""
    return _kl_gradient(first_heads, teacher, student, mask, eps)


def mean_head_mse(
    *,
    teacher: ArrayLike,
    student: ArrayLike,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
) -> FloatArray:
    """``one_to_one_mse`` of the mean teacher head and the mean student head; any heads.

    ``1/n Σ_qk (1/Ht Σ_i t_iqk - 1/Hs Σ_j s_jqk)²``. Arguments, result and errors are those of
    ``one_to_one_mse``.

    Source: used where numbers of heads differ; TextBrewer's ``attention_mse_sum`` (Yang et al.,
    ACL 2020, demonstrations) is its relative with sums over heads for means.
    """
    return reduced(_mse(mean_heads, teacher, student, mask), reduction)


def mean_head_mse_gradient(
    *, teacher: ArrayLike, student: ArrayLike, mask: ArrayLike | None = None
) -> Gradients:
    """The same for every student head: ``-2 (t̄ - s̄) / (n Hs)``."""
    return _mse_gradient(mean_heads, teacher, student, mask)


def mean_head_kl(
    *,
    teacher: ArrayLike,
    student: ArrayLike,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    eps: float = 0.0,
) -> FloatArray:
    """``one_to_one_kl`` of the mean teacher head and the mean student head; any heads.

    ``1/r Σ_q KL(t̄_q/|t̄_q|_1 ‖ s̄_q/|s̄_q|_1)`` with ``t̄ = 1/Ht Σ_i t_i``, ``s̄ = 1/Hs Σ_j s_j``.
    Arguments, result and errors are those of ``one_to_one_kl``.

    Source: as ``mean_head_mse``.
    """
    return reduced(_kl(mean_heads, teacher, student, mask, eps), reduction)


def mean_head_kl_gradient(
    *,
    teacher: ArrayLike,
    student: ArrayLike,
    mask: ArrayLike | None = None,
    eps: float = 0.0,
) -> Gradients:
    """The same for every student head: that of the mean head over ``Hs``."""
    return _kl_gradient(mean_heads, teacher, student, mask, eps)


def best_match_mse(
    *,
    teacher: ArrayLike,
    student: ArrayLike,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
) -> FloatArray:
    """``one_to_one_mse`` of the heads that an assignment by cosine pairs; any heads.

    ``1/(H n) Σ_i Σ_qk (t_iqk - s_π(i)qk)²`` with ``π`` the one-to-one assignment of
    ``H = min(Ht, Hs)`` heads that maximises ``Σ_i c_iπ(i)``, with the cosines ``c`` of AMAD's eq.
    2, for each sample its own. Heads left over on the longer side are unused. The assignment is
    piecewise constant and gets no gradient; among assignments of equal cosine any may be taken.
    Arguments, result and errors are those of ``one_to_one_mse``.

    Source: the assignment problem (Kuhn, "The Hungarian method", 1955) on AMAD's cosines; no
    publication that distils attention heads this way is known to us.
    """
    return reduced(_mse(matched_heads, teacher, student, mask), reduction)


def best_match_mse_gradient(
    *, teacher: ArrayLike, student: ArrayLike, mask: ArrayLike | None = None
) -> Gradients:
    """``-2 (t_i - s_π(i)) / (H n)`` for matched heads, 0 for the others."""
    return _mse_gradient(matched_heads, teacher, student, mask)


def best_match_kl(
    *,
    teacher: ArrayLike,
    student: ArrayLike,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    eps: float = 0.0,
) -> FloatArray:
    """``one_to_one_kl`` of the heads that an assignment by cosine pairs; any heads.

    ``1/(H r) Σ_i Σ_q KL(t_iq/|t_iq|_1 ‖ s_π(i)q/|s_π(i)q|_1)`` with ``π`` as in
    ``best_match_mse``. Arguments, result and errors are those of ``one_to_one_kl``.

    Source: as ``best_match_mse``.
    """
    return reduced(_kl(matched_heads, teacher, student, mask, eps), reduction)


def best_match_kl_gradient(
    *,
    teacher: ArrayLike,
    student: ArrayLike,
    mask: ArrayLike | None = None,
    eps: float = 0.0,
) -> Gradients:
    """That of ``one_to_one_kl`` for matched heads, 0 for the others."""
    return _kl_gradient(matched_heads, teacher, student, mask, eps)


def _mse(
    pairing: Pairing, teacher: ArrayLike, student: ArrayLike, mask: ArrayLike | None
) -> FloatArray:
    pairs, valid = _paired(pairing, teacher, student, mask)
    return mean_squared_error(pairs.teacher, pairs.student, valid)


def _mse_gradient(
    pairing: Pairing, teacher: ArrayLike, student: ArrayLike, mask: ArrayLike | None
) -> Gradients:
    pairs, valid = _paired(pairing, teacher, student, mask)
    gradient = mean_squared_error_gradient(pairs.teacher, pairs.student, valid)
    return {"student": pairs.spread(gradient)}


def _kl(
    pairing: Pairing, teacher: ArrayLike, student: ArrayLike, mask: ArrayLike | None, eps: float
) -> FloatArray:
    check_eps(eps)
    pairs, valid = _paired(pairing, teacher, student, mask)
    return mean_row_kl(pairs.teacher, pairs.student, valid, float(eps))


def _kl_gradient(
    pairing: Pairing, teacher: ArrayLike, student: ArrayLike, mask: ArrayLike | None, eps: float
) -> Gradients:
    check_eps(eps)
    pairs, valid = _paired(pairing, teacher, student, mask)
    gradient = mean_row_kl_gradient(pairs.teacher, pairs.student, valid, float(eps))
    return {"student": pairs.spread(np.where(valid[:, np.newaxis], gradient, 0.0))}


def _paired(
    pairing: Pairing, teacher: ArrayLike, student: ArrayLike, mask: ArrayLike | None
) -> tuple[Pairs, BoolArray]:
    teacher_maps, student_maps, valid = maps_and_cells(teacher, student, mask)
    return pairing(teacher_maps, student_maps), valid
