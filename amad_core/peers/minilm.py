"""MiniLM and MiniLMv2: attention maps, and relations of the vectors behind them."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from amad_core.arguments.maps import check_eps
from amad_core.arguments.peers import check_equal_heads, check_relation_heads
from amad_core.attention.inputs import BoolArray, FloatArray
from amad_core.peers.comparison import (
    mean_row_kl,
    mean_row_kl_gradient,
    row_shares,
    softmax_kl,
    softmax_kl_gradient,
)
from amad_core.peers.inputs import maps_and_cells, vectors_and_cells
from amad_core.peers.reduction import reduced


def minilm_attention(
    *,
    teacher: ArrayLike,
    student: ArrayLike,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    eps: float = 0.0,
) -> FloatArray:
    """Mean KL divergence of the query rows of head i from those of head i, teacher first; >= 0.

    ``L_AT = 1/(A_h |x|) Σ_a Σ_t KL(A^T_at ‖ A^S_at)``, for the last layers; equal numbers of heads
    ``A_h``. ``|x|`` is the number of query rows with a cell that counts. This is
    ``one_to_one_kl`` with the paper's condition on the heads.

    Args:
        teacher: maps ``[B, H, Q, K]``, non-negative floats; gets no gradient.
        student: maps of the same shape.
        reduction: over the batch: ``"mean"``, ``"sum"``, or ``"none"`` for one loss a sample.
        mask: boolean, broadcastable to ``[B, Q, K]``, true where a cell counts; ``None``: all do.
            Masked cells are taken out and rows divided by what is left: a mask before the softmax.
        eps: floor on the student's cell inside the logarithm, at least 0.

    Returns:
        A scalar, or ``[B]`` with ``reduction="none"``; float64.

    Raises:
        TypeError, ValueError: as ``one_to_one_kl``; different numbers of heads.

    Source: Wang et al., "MiniLM", NeurIPS 2020, self-attention distribution transfer.
    """
    check_eps(eps)
    return reduced(mean_row_kl(*_checked_maps(teacher, student, mask), float(eps)), reduction)


def minilm_attention_gradient(
    *,
    teacher: ArrayLike,
    student: ArrayLike,
    mask: ArrayLike | None = None,
    eps: float = 0.0,
) -> Mapping[str, FloatArray]:
    """As that of ``one_to_one_kl``."""
    check_eps(eps)
    maps = _checked_maps(teacher, student, mask)
    gradient = mean_row_kl_gradient(*maps, float(eps))
    return {"student": np.where(maps[2][:, np.newaxis], gradient, 0.0)}


def minilm_value_relation(
    *,
    teacher: ArrayLike,
    student: ArrayLike,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
) -> FloatArray:
    """Mean KL divergence of the value relations of head i from those of head i; >= 0.

    ``L_VR = 1/(A_h |x|) Σ_a Σ_t KL(VR^T_at ‖ VR^S_at)`` with ``VR = softmax(V Vᵀ/√d)``; equal
    numbers of heads ``A_h``, any widths ``d``. The paper's loss is ``minilm_attention`` plus
    this, for the last layers.

    Args:
        teacher: values ``[B, H, L, d_t]`` of each head, floats of any sign; gets no gradient.
        student: values ``[B, H, L, d_s]``.
        reduction: over the batch: ``"mean"``, ``"sum"``, or ``"none"`` for one loss a sample.
        mask: boolean, broadcastable to ``[B, L, L]``, true where a relation counts; ``None``: all
            do. Masked relations are taken out before the softmax. A mask of keys, ``[B, 1, L]``,
            leaves the padded queries in ``|x|``, as much public code does; a mask of queries and
            keys counts true tokens only, as the paper's ``|x|``.

    Returns:
        A scalar, or ``[B]`` with ``reduction="none"``; float64.

    Raises:
        TypeError: values that are not real floats, a mask that is not boolean.
        ValueError: wrong rank, mismatched batch, heads or tokens, an empty axis, a mask that does
            not broadcast, an unknown reduction; NaN or infinite values that count.

    Source: Wang et al., "MiniLM", NeurIPS 2020, self-attention value-relation transfer.
    """
    return reduced(_relation_kl(*_checked_values(teacher, student, mask)), reduction)


def minilm_value_relation_gradient(
    *, teacher: ArrayLike, student: ArrayLike, mask: ArrayLike | None = None
) -> Mapping[str, FloatArray]:
    """``(G + Gᵀ) V/√d`` with ``G = (VR^S - VR^T) / (A_h |x|)``, of the sum over the batch."""
    return {"student": _relation_kl_gradient(*_checked_values(teacher, student, mask))}


def minilmv2_relation(
    *,
    teacher: ArrayLike,
    student: ArrayLike,
    relation_heads: int,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
) -> FloatArray:
    """Mean KL divergence of the student's relations from the teacher's, re-split heads; >= 0.

    The vectors of all heads are concatenated and split into ``A_r`` relation heads of width
    ``d_r``, so both sides may have any number of heads. Then (eq. 6-8)
    ``1/(A_r |x|) Σ_a Σ_t KL(R^T_at ‖ R^S_at)`` with ``R = softmax(X Xᵀ/√d_r)``. ``X`` are the
    queries, the keys or the values; the paper's loss (eq. 5) is the weighted sum of the three
    calls, of one layer each.

    Args:
        teacher: queries, keys or values ``[B, Ht, L, d_t]``, floats of any sign; gets no gradient.
        student: the same of the student, ``[B, Hs, L, d_s]``.
        relation_heads: ``A_r``, divides ``Ht*d_t`` and ``Hs*d_s``.
        reduction, mask: as in ``minilm_value_relation``.

    Returns:
        A scalar, or ``[B]``, as ``minilm_value_relation``.

    Raises:
        TypeError: vectors that are not real floats, relation heads that are no integer, a mask that
            is not boolean.
        ValueError: as ``minilm_value_relation`` but for the heads; ``relation_heads`` below 1
            or not a divisor of both widths.

    Source: Wang et al., "MiniLMv2", Findings of ACL 2021, eq. 5-8.
    """
    vectors = _checked_vectors(teacher, student, mask, relation_heads)
    return reduced(_relation_kl(*vectors), reduction)


def minilmv2_relation_gradient(
    *,
    teacher: ArrayLike,
    student: ArrayLike,
    relation_heads: int,
    mask: ArrayLike | None = None,
) -> Mapping[str, FloatArray]:
    """``(G + Gᵀ) X/√d_r`` with ``G = (R^S - R^T) / (A_r |x|)``, laid out as the student's heads."""
    vectors = _checked_vectors(teacher, student, mask, relation_heads)
    gradient = _relation_kl_gradient(*vectors)
    return {"student": split_heads(gradient, np.shape(student)[1])}


def split_heads(vectors: FloatArray, heads: int) -> FloatArray:
    """``[B, H, L, d]`` with all heads side by side a token, split into other ``heads``."""
    batch, _, tokens, _ = vectors.shape
    tokens_first = np.moveaxis(vectors, 1, 2).reshape(batch, tokens, heads, -1)
    return np.moveaxis(tokens_first, 2, 1)


def _relation_kl(teacher: FloatArray, student: FloatArray, valid: BoolArray) -> FloatArray:
    rows = softmax_kl(_scores(teacher), _scores(student), valid[:, np.newaxis])
    return np.asarray(np.sum(rows, axis=(1, 2)) / row_shares(teacher, valid))


def _relation_kl_gradient(teacher: FloatArray, student: FloatArray, valid: BoolArray) -> FloatArray:
    scores_gradient = softmax_kl_gradient(_scores(teacher), _scores(student), valid[:, np.newaxis])
    both_sides = scores_gradient + np.swapaxes(scores_gradient, -1, -2)
    shares = row_shares(student, valid)[:, np.newaxis, np.newaxis, np.newaxis]
    return np.asarray(both_sides @ student / np.sqrt(student.shape[-1]) / shares)


def _scores(vectors: FloatArray) -> FloatArray:
    return np.asarray(vectors @ np.swapaxes(vectors, -1, -2) / np.sqrt(vectors.shape[-1]))


def _checked_maps(
    teacher: ArrayLike, student: ArrayLike, mask: ArrayLike | None
) -> tuple[FloatArray, FloatArray, BoolArray]:
    teacher_maps, student_maps, valid = maps_and_cells(teacher, student, mask)
    check_equal_heads("minilm_attention", teacher_maps.shape, student_maps.shape)
    return teacher_maps, student_maps, valid


def _checked_values(
    teacher: ArrayLike, student: ArrayLike, mask: ArrayLike | None
) -> tuple[FloatArray, FloatArray, BoolArray]:
    vectors = vectors_and_cells(teacher, student, mask)
    check_equal_heads("minilm_value_relation", vectors[0].shape, vectors[1].shape)
    return vectors


def _checked_vectors(
    teacher: ArrayLike, student: ArrayLike, mask: ArrayLike | None, relation_heads: int
) -> tuple[FloatArray, FloatArray, BoolArray]:
    teacher_vectors, student_vectors, valid = vectors_and_cells(teacher, student, mask)
    check_relation_heads(relation_heads, teacher_vectors.shape, student_vectors.shape)
    return (
        split_heads(teacher_vectors, relation_heads),
        split_heads(student_vectors, relation_heads),
        valid,
    )
