"""TinyBERT: attention scores before the softmax, head i against head i."""

from collections.abc import Mapping

from numpy.typing import ArrayLike

from amad_core.arguments.peers import check_equal_heads
from amad_core.attention.inputs import BoolArray, FloatArray
from amad_core.peers.comparison import mean_squared_error, mean_squared_error_gradient
from amad_core.peers.inputs import scores_and_cells
from amad_core.peers.reduction import reduced


def tinybert_scores(
    *,
    teacher: ArrayLike,
    student: ArrayLike,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
) -> FloatArray:
    """Mean squared difference of the scores ``QKᵀ/√d`` of head i and head i; at least 0.

    ``1/h Σ_i MSE(z^S_i, z^T_i)`` with ``MSE`` the mean over the cells that count; equal numbers of
    heads. The authors' code has no mask: it sets scores of -100 and below (the additive mask) to 0
    on both sides and divides by all cells, so its value is this one times the share of cells that
    count. Without a mask the batch mean is the authors' value for one pair of layers; they add the
    layers up.

    Args:
        teacher: scores ``[B, H, Q, K]`` before the softmax, floats of any sign; gets no gradient.
        student: scores of the same shape.
        reduction: over the batch: ``"mean"``, ``"sum"``, or ``"none"`` for one loss a sample.
        mask: boolean, broadcastable to ``[B, Q, K]``, true where a cell counts; ``None``: all do.
            Give it wherever the scores hold an additive mask.

    Returns:
        A scalar, or ``[B]`` with ``reduction="none"``; float64.

    Raises:
        TypeError: scores that are not real floats, a mask that is not boolean.
        ValueError: wrong rank, mismatched batch, heads, queries or keys, an empty axis, a mask that
            does not broadcast, an unknown reduction; NaN or infinite scores that count.

    Source: Jiao et al., "TinyBERT", Findings of EMNLP 2020, attention loss;
    github.com/huawei-noah/Pretrained-Language-Model, ``TinyBERT/task_distill.py``.
    """
    return reduced(mean_squared_error(*_checked(teacher, student, mask)), reduction)


def tinybert_scores_gradient(
    *, teacher: ArrayLike, student: ArrayLike, mask: ArrayLike | None = None
) -> Mapping[str, FloatArray]:
    """``-2 (z^T - z^S) / (h n)`` of the sum over the batch."""
    return {"student": mean_squared_error_gradient(*_checked(teacher, student, mask))}


def _checked(
    teacher: ArrayLike, student: ArrayLike, mask: ArrayLike | None
) -> tuple[FloatArray, FloatArray, BoolArray]:
    teacher_scores, student_scores, valid = scores_and_cells(teacher, student, mask)
    check_equal_heads("tinybert_scores", teacher_scores.shape, student_scores.shape)
    return teacher_scores, student_scores, valid
