"""A2D: a learned 1x1 convolution over heads lets all student heads imitate each teacher head."""

from torch import Tensor

from amad_core.arguments.peers import check_head_alignment
from amad_torch.attention.inputs import checked_parameter, whole_maps
from amad_torch.attention.precision import full_precision, product
from amad_torch.peers.comparison import softmax_kl
from amad_torch.peers.inputs import maps_and_cells
from amad_torch.peers.reduction import reduced


def align_to_distill(
    *,
    teacher: Tensor,
    student: Tensor,
    weight: Tensor,
    bias: Tensor,
    reduction: str = "mean",
    mask: Tensor | None = None,
    check_values: bool | None = None,
) -> Tensor:
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
        weight: ``W`` ``[Ht, Hs]``, learned with the student; that of ``Conv2d(Hs, Ht, 1)`` without
            its two axes of length 1.
        bias: ``b`` ``[Ht]``, learned likewise.
        reduction: over the batch: ``"mean"``, ``"sum"``, or ``"none"`` for one loss a sample.
        mask: boolean, broadcastable to ``[B, Q, K]``, true where a cell counts; ``None``: all do.
            Masked cells are left out of both softmaxes.
        check_values: as in ``amad_loss``.

    Returns:
        A scalar, or ``[B]`` with ``reduction="none"``; float64 where a map is float64, else
        float32.

    Raises:
        TypeError: arrays that are not real floats, a mask that is not boolean.
        ValueError: maps as ``amad_loss`` refuses them, a weight or bias of the wrong
            shape, an unknown reduction.

    Source: Jin et al., "Align-to-Distill", LREC-COLING 2024; github.com/ncsoft/Align-to-Distill.
    """
    with full_precision(student):
        teacher, student, valid = maps_and_cells(teacher, student, mask, check_values)
        matrix = checked_parameter("weight", weight, student, check_values)
        offset = checked_parameter("bias", bias, student, check_values)
        check_head_alignment(matrix.shape, offset.shape, teacher.shape, student.shape)
        heads = product(matrix.expand(len(student), -1, -1), whole_maps(student))
        aligned = heads + offset.unsqueeze(1)
        per_head = softmax_kl(whole_maps(teacher), aligned, valid.flatten(1).unsqueeze(1))
        return reduced(per_head.sum(dim=1), reduction)
