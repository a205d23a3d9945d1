"""Attention losses of the study that the library has no name for: peers, controls, variants.

All are of maps, `loss(*, teacher, student, mask)`, as a distiller takes a loss of one's own.
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from amad_torch import amad_loss
from amad_torch.attention.alignment import aligned_maps, softmax_over_students
from amad_torch.attention.divergence import jensen_shannon_divergence, kl_divergence
from amad_torch.attention.inputs import whole_maps
from amad_torch.attention.similarity import cosine_similarity, l1_normalise, scaled_to_peak
from amad_torch.peers.comparison import mean_row_kl, row_shares
from amad_torch.peers.head_pairs import Pairing, first_heads, matched_heads, mean_heads
from amad_torch.peers.inputs import maps_and_cells

MapsLoss: TypeAlias = Callable[..., Tensor]
_TINY = torch.finfo(torch.float32).tiny
_A_LITTLE_MORE = 1.001


def row_js(pairing: Pairing) -> MapsLoss:
    """The peers of this pairing by Jensen-Shannon, averaged over heads and query rows."""

    def loss(*, teacher: Tensor, student: Tensor, mask: Tensor | None) -> Tensor:
        teacher, student, valid = maps_and_cells(teacher, student, mask, None)
        teacher, student = pairing(teacher.detach(), student)
        p, q = (l1_normalise(scaled_to_peak(rows)) for rows in (teacher, student))
        rows = jensen_shannon_divergence(p, q, _TINY)
        return (rows.sum(dim=(1, 2)) / row_shares(teacher, valid)).mean()

    return loss


one_to_one_js = row_js(first_heads)
mean_head_js = row_js(mean_heads)
best_match_js = row_js(matched_heads)


def grouped_means_kl(*, teacher: Tensor, student: Tensor, mask: Tensor | None) -> Tensor:
    """Each student head learns the mean of a group of teacher heads, as even groups as there are.

    Groups are neighbours, as in TextBrewer's and others' mean of groups: the order of the teacher's
    heads decides them.

    Raises:
        ValueError: the teacher has fewer heads than the student.
    """
    groups = student.shape[1]
    if teacher.shape[1] < groups:
        raise ValueError(
            f"teacher has {teacher.shape[1]} heads, expected at least the student's {groups}"
        )
    teacher, student, valid = maps_and_cells(teacher, student, mask, None)
    parts = teacher.detach().tensor_split(groups, dim=1)
    means = torch.stack([part.mean(dim=1) for part in parts], dim=1)
    return mean_row_kl(means, student, valid, None).mean()


def without_sinks(teacher: Tensor, mask: Tensor | None) -> Tensor:
    """The cells `[B, Q, K]` that count, without keys that all heads look at from everywhere.

    A key is a sink where the mean of its column, over teacher heads and the queries that count,
    is above the mean of all columns that count by more than their standard deviation, as in
    CompoDistill. Of two keys that count neither is: the greater is above by just the deviation.
    """
    samples, _, queries, keys = teacher.shape
    cells = torch.ones(samples, queries, keys, dtype=torch.bool) if mask is None else mask
    seen = cells.any(dim=1)
    columns = (teacher.mean(dim=1) * cells).sum(dim=1) / cells.sum(dim=1).clamp(min=1)
    number = seen.sum(dim=1, keepdim=True).clamp(min=1)
    mean = (columns * seen).sum(dim=1, keepdim=True) / number
    deviation = (((columns - mean) * seen).square().sum(dim=1, keepdim=True) / number).sqrt()
    # A margin, as of two keys rounding would decide.
    return cells & (columns - mean <= _A_LITTLE_MORE * deviation)[:, None, :]


def amad_kl_without_sinks(*, teacher: Tensor, student: Tensor, mask: Tensor | None) -> Tensor:
    """AMAD by KL over all cells but those of sinks."""
    cells = without_sinks(teacher, mask)
    return amad_loss(
        teacher=teacher, student=student, variant="kl", mask=cells, implementation="plain"
    )


class AMADWithWeights(nn.Module):
    """AMAD by KL whose alignment weights are changed before heads are mixed by them.

    Args:
        change: weights `[B, Ht, Hs]` to weights.
    """

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._change = change

    def forward(self, *, teacher: Tensor, student: Tensor, mask: Tensor | None) -> Tensor:
        """The loss, a mean over samples."""
        return _amad_kl(teacher, student, mask, lambda cosines: self._change(_weights(cosines)))


class LearnedTemperature(nn.Module):
    """AMAD by KL whose temperature is learned along with the student, from 1 on; for all layers."""

    def __init__(self) -> None:
        super().__init__()
        self.logarithm = nn.Parameter(torch.zeros(()))

    @property
    def temperature(self) -> float:
        """As far as it is learned."""
        return float(self.logarithm.detach().exp())

    def forward(self, *, teacher: Tensor, student: Tensor, mask: Tensor | None) -> Tensor:
        """The loss, a mean over samples."""
        divisor = self.logarithm.exp()
        return _amad_kl(teacher, student, mask, lambda cosines: _weights(cosines / divisor))


def detached(weights: Tensor) -> Tensor:
    """Weights that no gradient flows through."""
    return weights.detach()


def permuted(weights: Tensor) -> Tensor:
    """Every student head has the weights of its neighbour."""
    return weights.roll(1, dims=-1)


def uniform(weights: Tensor) -> Tensor:
    """All student heads weigh the same."""
    return torch.full_like(weights, 1 / weights.shape[-1])


def _weights(similarity: Tensor) -> Tensor:
    return softmax_over_students(similarity, 1.0)


def _amad_kl(
    teacher: Tensor,
    student: Tensor,
    mask: Tensor | None,
    weights_of: Callable[[Tensor], Tensor],
) -> Tensor:
    teacher, student, _ = maps_and_cells(teacher, student, mask, None)
    teacher, student = (scaled_to_peak(whole_maps(maps)) for maps in (teacher.detach(), student))
    mixture = aligned_maps(weights_of(cosine_similarity(teacher, student)), l1_normalise(student))
    return kl_divergence(l1_normalise(teacher), mixture, _TINY).sum(dim=1).mean()
