"""TinyBERT: attention scores before the softmax, head i against head i."""

from torch import Tensor

from amad_core.arguments.peers import check_equal_heads
from amad_torch.attention.precision import full_precision
from amad_torch.peers.comparison import mean_squared_error
from amad_torch.peers.inputs import scores_and_cells
from amad_torch.peers.reduction import reduced


def tinybert_scores(
    *,
    teacher: Tensor,
    student: Tensor,
    reduction: str = "mean",
    mask: Tensor | None = None,
    check_values: bool | None = None,
) -> Tensor:
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
        check_values: look for NaN and infinite scores: always (``True``), never (``False``), or
            where it costs no device synchronisation (``None``).

    Returns:
        A scalar, or ``[B]`` with ``reduction="none"``; float64 where an input is float64, else
        float32.

    Raises:
        TypeError: scores that are not real floats, a mask that is not boolean.
        ValueError: wrong rank, mismatched batch, heads, queries or keys, an empty axis, a mask that
            does not broadcast, an unknown reduction; as far as values are checked, NaN or infinite
            scores that count.

    Source: Jiao et al., "TinyBERT", Findings of EMNLP 2020, attention loss;
    github.com/huawei-noah/Pretrained-Language-Model, ``TinyBERT/task_distill.py``.
    """
    with full_precision(student):
        teacher, student, valid = scores_and_cells(teacher, student, mask, check_values)
        check_equal_heads("tinybert_scores", teacher.shape, student.shape)
        return reduced(mean_squared_error(teacher, student, valid), reduction)
