"""One head against one head: head i with head i, mean with mean, or matched by an assignment.

Each peer is a pairing and a comparison. The comparisons are means, as the methods' authors take
them, not AMAD's sums: over the pairs of heads, and over the cells (``mse``) or query rows (``kl``)
that count. ``kl`` divides each row by its sum, masked cells taken out first. On post-softmax maps
that changes no value, and the derivative only by a constant a row, which the softmax before it
cancels; where dropout or a window took mass out of a row, it keeps the divergence non-negative.
"""

from collections.abc import Callable

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from amad_core.arguments.maps import check_eps
from amad_torch.attention.inputs import whole_maps
from amad_torch.attention.precision import full_precision
from amad_torch.attention.similarity import cosine_similarity, scaled_to_peak
from amad_torch.attention.untraced import untraced
from amad_torch.peers.comparison import mean_row_kl, mean_squared_error
from amad_torch.peers.inputs import maps_and_cells
from amad_torch.peers.reduction import reduced

Pairing = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def first_heads(teacher: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
    """Head i with head i, for ``i < min(Ht, Hs)``."""
    heads = min(teacher.shape[1], student.shape[1])
    return teacher[:, :heads], student[:, :heads]


def mean_heads(teacher: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of all teacher heads with the mean of all student heads."""
    return teacher.mean(dim=1, keepdim=True), student.mean(dim=1, keepdim=True)


def matched_heads(teacher: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
    """The one-to-one assignment with the greatest sum of cosines, for each sample its own."""
    heads = (scaled_to_peak(whole_maps(maps)) for maps in (teacher, student.detach()))
    cosines = cosine_similarity(*heads)
    rows, columns = assignment(cosines)
    samples = torch.arange(teacher.shape[0], device=teacher.device).unsqueeze(1)
    return teacher[samples, rows], student[samples, columns]


@untraced
def assignment(cosines: Tensor) -> tuple[Tensor, Tensor]:
    """Teacher heads and their student heads, ``[B, min(Ht, Hs)]`` each, of ``[B, Ht, Hs]``.

    Solved by SciPy on the CPU: on another device it waits for the cosines (``B*Ht*Hs`` numbers),
    and ``torch.compile`` breaks its graph here.
    """
    # SciPy refuses NaN, of which a training run that diverges is full; the loss shows it.
    plain = cosines.nan_to_num(nan=0.0).cpu().numpy()
    matched = [linear_sum_assignment(sample, maximize=True) for sample in plain]
    rows, columns = (
        torch.stack([torch.as_tensor(side) for side in sides]).to(cosines.device)
        for sides in zip(*matched, strict=True)
    )
    return rows, columns


def one_to_one_mse(
    *,
    teacher: Tensor,
    student: Tensor,
    reduction: str = "mean",
    mask: Tensor | None = None,
    check_values: bool | None = None,
) -> Tensor:
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
        check_values: look for negative, NaN and infinite cells: always (``True``), never
            (``False``), or where it costs no device synchronisation (``None``).

    Returns:
        A scalar, or ``[B]`` with ``reduction="none"``; float64 where a map is float64, else
        float32.

    Raises:
        TypeError: maps that are not real floats, a mask that is not boolean.
        ValueError: wrong rank, mismatched batch, queries or keys, an empty axis, a mask that does
            not broadcast, an unknown reduction; as far as values are checked, negative, NaN or
            infinite cells that count.

    Source: attention loss of Jiao et al., "TinyBERT", Findings of EMNLP 2020, on probabilities, as
    in Fang et al., "Compressing Visual-linguistic Model via Knowledge Distillation", ICCV 2021.
    """
    return _mse(first_heads, teacher, student, reduction, mask, check_values)


def one_to_one_kl(
    *,
    teacher: Tensor,
    student: Tensor,
    reduction: str = "mean",
    mask: Tensor | None = None,
    eps: float | None = None,
    check_values: bool | None = None,
) -> Tensor:
    """Mean KL divergence of the query rows of head i from those of head i, teacher first; >= 0.

    ``1/(H r) Σ_i Σ_q KL(t_iq/|t_iq|_1 ‖ s_iq/|s_iq|_1)`` with ``H = min(Ht, Hs)`` and ``r`` the
    query rows of the sample with a cell that counts.

    Args:
        teacher, student, reduction, mask, check_values: as in ``one_to_one_mse``.
        eps: floor on the student's cell inside the logarithm, at least 0; ``None``: the smallest
            normal number of the accumulation dtype. With 0 the loss is ``+inf``, without a
            gradient, where the teacher has mass and the student has none.

    Returns:
        A scalar, or ``[B]``, as ``one_to_one_mse``.

    Raises:
        TypeError, ValueError: as ``one_to_one_mse``; a negative or non-finite ``eps``.

    Source: attention transfer of Sun et al., "MobileBERT", ACL 2020.
    """
    return _kl(first_heads, teacher, student, reduction, mask, eps, check_values)


def mean_head_mse(
    *,
    teacher: Tensor,
    student: Tensor,
    reduction: str = "mean",
    mask: Tensor | None = None,
    check_values: bool | None = None,
) -> Tensor:
    """``one_to_one_mse`` of the mean teacher head and the mean student head; any heads.

    ``1/n Σ_qk (1/Ht Σ_i t_iqk - 1/Hs Σ_j s_jqk)²``. Arguments, result and errors are those of
    ``one_to_one_mse``.

    Source: used where numbers of heads differ; TextBrewer's ``attention_mse_sum`` (Yang et al.,
    ACL 2020, demonstrations) is its relative with sums over heads for means.
    """
    return _mse(mean_heads, teacher, student, reduction, mask, check_values)


def mean_head_kl(
    *,
    teacher: Tensor,
    student: Tensor,
    reduction: str = "mean",
    mask: Tensor | None = None,
    eps: float | None = None,
    check_values: bool | None = None,
) -> Tensor:
    """``one_to_one_kl`` of the mean teacher head and the mean student head; any heads.

    ``1/r Σ_q KL(t̄_q/|t̄_q|_1 ‖ s̄_q/|s̄_q|_1)`` with ``t̄ = 1/Ht Σ_i t_i``, ``s̄ = 1/Hs Σ_j s_j``.
    Arguments, result and errors are those of ``one_to_one_kl``.

    Source: as ``mean_head_mse``.
    """
    return _kl(mean_heads, teacher, student, reduction, mask, eps, check_values)


def best_match_mse(
    *,
    teacher: Tensor,
    student: Tensor,
    reduction: str = "mean",
    mask: Tensor | None = None,
    check_values: bool | None = None,
) -> Tensor:
    """``one_to_one_mse`` of the heads that an assignment by cosine pairs; any heads.

    ``1/(H n) Σ_i Σ_qk (t_iqk - s_π(i)qk)²`` with ``π`` the one-to-one assignment of
    ``H = min(Ht, Hs)`` heads that maximises ``Σ_i c_iπ(i)``, with the cosines ``c`` of AMAD's eq.
    2, for each sample its own. Heads left over on the longer side are unused. The assignment is
    piecewise constant and gets no gradient; among assignments of equal cosine any may be taken.
    It is solved on the CPU: see ``assignment`` for what that costs.
    Arguments, result and errors are those of ``one_to_one_mse``.

    Source: the assignment problem (Kuhn, "The Hungarian method", 1955) on AMAD's cosines; no
    publication that distils attention heads this way is known to us.
    """
    return _mse(matched_heads, teacher, student, reduction, mask, check_values)


def best_match_kl(
    *,
    teacher: Tensor,
    student: Tensor,
    reduction: str = "mean",
    mask: Tensor | None = None,
    eps: float | None = None,
    check_values: bool | None = None,
) -> Tensor:
    """``one_to_one_kl`` of the heads that an assignment by cosine pairs; any heads.

    ``1/(H r) Σ_i Σ_q KL(t_iq/|t_iq|_1 ‖ s_π(i)q/|s_π(i)q|_1)`` with ``π`` as in
    ``best_match_mse``. Arguments, result and errors are those of ``one_to_one_kl``.

    Source: as ``best_match_mse``.
    """
    return _kl(matched_heads, teacher, student, reduction, mask, eps, check_values)


def _mse(
    pairing: Pairing,
    teacher: Tensor,
    student: Tensor,
    reduction: str,
    mask: Tensor | None,
    check_values: bool | None,
) -> Tensor:
    with full_precision(student):
        teacher, student, valid = maps_and_cells(teacher, student, mask, check_values)
        return reduced(mean_squared_error(*pairing(teacher, student), valid), reduction)


def _kl(
    pairing: Pairing,
    teacher: Tensor,
    student: Tensor,
    reduction: str,
    mask: Tensor | None,
    eps: float | None,
    check_values: bool | None,
) -> Tensor:
    if eps is not None:
        check_eps(eps)
    with full_precision(student):
        teacher, student, valid = maps_and_cells(teacher, student, mask, check_values)
        return reduced(mean_row_kl(*pairing(teacher, student), valid, eps), reduction)
