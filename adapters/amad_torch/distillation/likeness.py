"""How alike attention maps are: layers of two models, and the heads of one layer."""

import math

import torch
from torch import Tensor

from amad_torch.attention.alignment import softmax_over_students
from amad_torch.attention.precision import product
from amad_torch.attention.similarity import cosine_similarity, l2_normalise


def head_cosines(teacher: Tensor, student: Tensor, mask: Tensor | None) -> Tensor:
    """``c_ij`` of eq. 2, ``[B, Ht, Hs]``, from maps ``[B, H, Q, K]``; masked cells count as 0."""
    return cosine_similarity(_flat(teacher, mask), _flat(student, mask))


def layer_likeness(teacher: Tensor, student: Tensor, mask: Tensor | None) -> float:
    """The mean, over student heads, of the correlation with the teacher head most like it.

    Each row of a map has its mean over the keys that the layer sees taken off first: two maps that
    share no more than a causal order or a padding have a cosine near 1 and a correlation near 0.
    """
    heads = (l2_normalise(_centred(maps, mask).flatten(2)) for maps in (teacher, student))
    return float(product(next(heads), next(heads).mT).amax(dim=1).mean())


def mean_cosine(cosines: Tensor) -> float:
    """Of different heads of one layer, from ``[B, H, H]``; 1 for a single head."""
    heads = cosines.shape[-1]
    if heads == 1:
        return 1.0
    apart = ~torch.eye(heads, dtype=torch.bool, device=cosines.device)
    return float(cosines[:, apart].mean())


def effective_rank(cosines: Tensor) -> float:
    """``exp(-Σ p_i log p_i)``, ``p`` the eigenvalues of ``[B, H, H]`` divided by their sum.

    From 1, all heads alike, to ``H``, no cell in common; the mean over samples.
    """
    values = torch.linalg.eigvalsh(cosines.double().cpu()).clamp(min=0)
    shares = values / values.sum(-1, keepdim=True).clamp(min=torch.finfo(values.dtype).tiny)
    return float(torch.special.entr(shares).sum(-1).exp().mean())


def evenness(cosines: Tensor, temperature: float) -> tuple[float, float]:
    """How even the alignment weights of ``[B, Ht, Hs]`` are: entropy over ``log Hs``, and largest.

    Means over samples and teacher heads; 1 and ``1/Hs`` are weights that are all equal, as the only
    weight of one student head is.
    """
    if cosines.shape[-1] == 1:
        return 1.0, 1.0
    weights = softmax_over_students(cosines, temperature)
    entropy = torch.special.entr(weights).sum(-1).mean() / math.log(cosines.shape[-1])
    return float(entropy), float(weights.amax(-1).mean())


def _flat(maps: Tensor, mask: Tensor | None) -> Tensor:
    if mask is not None:
        maps = maps.masked_fill(~mask[:, None], 0)
    return maps.float().flatten(2)


def _centred(maps: Tensor, mask: Tensor | None) -> Tensor:
    maps = maps.float()
    seen = (maps > 0).any(dim=1, keepdim=True)
    if mask is not None:
        seen = seen & mask[:, None]
    kept = maps.where(seen, 0.0)
    mean = kept.sum(-1, keepdim=True) / seen.sum(-1, keepdim=True).clamp(min=1)
    return (kept - mean).where(seen, 0.0)
