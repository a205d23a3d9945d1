"""The closed form for a graph that a compiler makes loops of: whole tensors, and no look at values.

What ``losses`` and ``gradients`` do tile by tile is written down at once; heads are always divided
by their L1 norms. ``mse``, whose products no compiler improves, stays an operation of its own.
Guarded by tests/closed_form/test_traced.py and tests/adapters/test_torch_compile.py.
"""

import math

import torch
from torch import Tensor

from amad_torch.closed_form.gram import alignment, narrowed, through_weights
from amad_torch.closed_form.losses import Options, State
from amad_torch.closed_form.sums import Maps


def traced_losses(maps: Maps, options: Options) -> tuple[Tensor, State]:
    """As ``losses``, of ``kl``, ``js`` and ``token``: of heads divided by their L1 norms."""
    both = [_vectors(one, maps) for one in (maps.teacher, maps.student)]
    totals = torch.cat([one.sum(dim=-1) for one in both], dim=-1)
    # Of a sum that the dtype cannot hold there is no number, rather than a wrong one.
    divisors = totals.where(totals != 0, 1.0).where(totals != torch.inf, torch.nan)
    target, student = _divided(both, divisors, maps)
    products = (target @ student.mT).to(maps.kind)
    ours, theirs = (one.square().sum(dim=-1).to(maps.kind) for one in (target, student))
    aligned = alignment(products, ours, theirs, options.temperature)
    mixing = aligned.weights.to(maps.dtype)
    value, slope, factor = _divergence(target, mixing @ student, options)
    most = torch.finfo(maps.dtype).max
    by_weight = (factor * (slope @ student.mT).to(maps.kind)).clamp(-most, most)
    from_teacher, from_student = through_weights(aligned, by_weight)
    shift = (aligned.weights * by_weight).sum(dim=-2).neg()
    alone = torch.stack([from_student, shift], dim=-1)
    coefficients = torch.cat([from_teacher, alone], dim=-1)
    coefficients = narrowed(coefficients, maps.dtype, sum(maps.heads) + 1)
    # Heads are already divided; one of zeros has no gradient.
    factors, dense = (totals != 0).to(maps.dtype), totals.new_zeros((*maps.vectors, 1))
    return value.flatten(1).sum(dim=1), State(coefficients, divisors, mixing, factors, dense)


def traced_gradient(maps: Maps, options: Options, state: State, upstream: Tensor) -> Tensor:
    """As ``gradient``, of the same."""
    teachers = maps.heads[0]
    both = [_vectors(one, maps) for one in (maps.teacher, maps.student)]
    target, student = _divided(both, state.divisors, maps)
    mixing, factors, _ = state.of_mixtures
    _, slope, factor = _divergence(target, mixing @ student, options)
    share = upstream.to(maps.dtype).reshape(-1, 1, 1, 1)
    from_teacher, from_student, shift = torch.split(
        state.coefficients * share, [teachers, 1, 1], dim=-1
    )
    back = mixing.mT * (factor * share)
    found = back @ slope + from_teacher @ target + from_student * student + shift
    most = torch.finfo(maps.dtype).max
    own = state.divisors[..., teachers:, None], factors[..., teachers:, None]
    found = (found / own[0]).clamp(-most, most).where(own[1] != 0, 0.0)
    if maps.by_row:
        found = found.transpose(1, 2)
    found = found.reshape(maps.student.shape)
    if maps.mask is not None:
        found = found.where(maps.mask.unsqueeze(1), 0.0)
    return found.to(maps.student.dtype)


def _vectors(one: Tensor, maps: Maps) -> Tensor:
    """``[B, R, H, k]``, 0 in masked cells."""
    wide = one.to(maps.dtype)
    if maps.mask is not None:
        wide = wide.where(maps.mask.unsqueeze(1), 0.0)
    return wide.transpose(1, 2) if maps.by_row else wide.flatten(2).unsqueeze(1)


def _divided(both: list[Tensor], divisors: Tensor, maps: Maps) -> list[Tensor]:
    parts = maps.by_model(divisors)
    return [one / part.unsqueeze(-1) for one, part in zip(both, parts, strict=True)]


def _divergence(target: Tensor, mixture: Tensor, options: Options) -> tuple[Tensor, Tensor, float]:
    """The value ``[B, R, Ht]``, the slope and its factor, as in ``cells``."""
    limits = torch.finfo(target.dtype)
    eps = max(options.eps, limits.tiny) if options.variant == "js" else options.eps
    floor = min(max(eps, limits.tiny), limits.max)
    # What the logarithm of a floor lacks that the dtype cannot hold.
    rest = math.log(floor) - math.log(eps) if eps > 0 else math.inf
    if options.variant == "js":
        half = (target + mixture) / 2
        value = _cross(target, half, eps, floor, rest)[0]
        above, half_above = ~(mixture <= eps), ~(half <= eps)
        logarithm = (mixture.where(above, floor) / half.where(half_above, floor)).log()
        slope = logarithm + above.to(half.dtype) - half_above.to(half.dtype)
        return (value + (mixture * logarithm).sum(dim=-1)) / 2, slope, 0.5
    value, slope = _cross(target, mixture, eps, floor, rest)
    return value, slope, -1.0


def _cross(
    target: Tensor, mixture: Tensor, eps: float, floor: float, rest: float
) -> tuple[Tensor, Tensor]:
    """``Σ p log(p / max(m, eps))``, and ``p/m``, 0 at and below the floor."""
    above = ~(mixture <= eps)
    ratio = target / mixture.where(above, floor)
    holds = target != 0
    if eps < torch.finfo(ratio.dtype).tiny:  # the ratio may overflow, its logarithm does not
        logarithm = target.where(holds, 1.0).log() - mixture.where(above, floor).log()
        ratio = ratio.clamp(max=torch.finfo(ratio.dtype).max)
    else:
        logarithm = ratio.where(holds, 1.0).log()
    if rest:
        logarithm = logarithm.where(above, logarithm + rest)
    return (target * logarithm.where(holds, 0.0)).sum(dim=-1), ratio.where(above, 0.0)
