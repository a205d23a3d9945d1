"""A2D: a learned 1x1 convolution over heads lets all student heads imitate each teacher head."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from amad_core.arguments.peers import check_head_alignment
from amad_core.attention.inputs import BoolArray, FloatArray, checked_parameter, whole_maps
from amad_core.peers.comparison import softmax_kl, softmax_kl_gradient
from amad_core.peers.inputs import maps_and_cells
from amad_core.peers.reduction import reduced


def align_to_distill(
    *,
    teacher: ArrayLike,
    student: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
) -> FloatArray:
    """KL divergence of the aligned student heads from the teacher's, after another softmax; >= 0.

    ``Σ_i KL(softmax(t_i) ‖ softmax(Σ_j W_ij s_j + b_i))``, both softmaxes over the ``n`` cells of
    the flattened map that count, although the maps are probabilities already: so the authors have
    it. A sum over teacher heads, and in the authors' code over the batch too: ``reduction="sum"``
    is theirs, times their weight β·decay^(epoch-1). Every ``W_ij`` may have any sign. No softmax
    sees a constant, so ``b`` changes nothing and its gradient is 0; it is kept as the authors'
    layer has it.

    The authors align all layers of a module at once: concatenate the layers' heads before the
    call, ``Ht`` and ``Hs`` being then layers times heads. They use no padding mask.

    Args:
        teacher: maps ``[B, Ht, Q, K]``, non-negative floats; gets no gradient.
        student: maps ``[B, Hs, Q, K]``, non-negative floats.
        weight: ``W`` ``[Ht, Hs]``, learned with the student.
        bias: ``b`` ``[Ht]``, learned likewise.
        reduction: over the batch: ``"mean"``, ``"sum"``, or ``"none"`` for one loss a sample.
        mask: boolean, broadcastable to ``[B, Q, K]``, true where a cell counts; ``None``: all do.
            Masked cells are left out of both softmaxes.

    Returns:
        A scalar, or ``[B]`` with ``reduction="none"``; float64.

    Raises:
        TypeError: arrays that are not real floats, a mask that is not boolean.
        ValueError: maps as ``amad_loss`` refuses them, a weight or bias of the wrong
            shape, an unknown reduction; a weight or bias that is not finite.

    Source: Jin et al., "Align-to-Distill", LREC-COLING 2024; github.com/ncsoft/Align-to-Distill.
    """
    maps, cells, matrix, offset = _checked(teacher, student, weight, bias, mask)
    per_head = softmax_kl(maps[0], _aligned(maps[1], matrix, offset), cells)
    return reduced(np.asarray(np.sum(per_head, axis=1)), reduction)


def align_to_distill_gradient(
    *,
    teacher: ArrayLike,
    student: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike,
    mask: ArrayLike | None = None,
) -> Mapping[str, FloatArray]:
    """With ``g_i = softmax(Ws + b)_i - softmax(t_i)``: ``Wᵀg``, ``Σ_batch <g_i, s_j>``, and 0."""
    maps, cells, matrix, offset = _checked(teacher, student, weight, bias, mask)
    upstream = softmax_kl_gradient(maps[0], _aligned(maps[1], matrix, offset), cells)
    return {
        "student": np.einsum("tj,btn->bjn", matrix, upstream).reshape(np.shape(student)),
        "weight": np.einsum("btn,bjn->tj", upstream, maps[1]),
        "bias": np.zeros_like(offset),
    }


def _aligned(student: FloatArray, weight: FloatArray, bias: FloatArray) -> FloatArray:
    return weight @ student + bias[:, np.newaxis]


def _checked(
    teacher: ArrayLike,
    student: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike,
    mask: ArrayLike | None,
) -> tuple[tuple[FloatArray, FloatArray], BoolArray, FloatArray, FloatArray]:
    teacher_maps, student_maps, valid = maps_and_cells(teacher, student, mask)
    matrix, offset = checked_parameter("weight", weight), checked_parameter("bias", bias)
    check_head_alignment(matrix.shape, offset.shape, teacher_maps.shape, student_maps.shape)
    heads = whole_maps(teacher_maps), whole_maps(student_maps)
    return heads, valid.reshape(len(valid), 1, -1), matrix, offset
