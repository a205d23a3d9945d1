"""The closed form for a graph that a compiler makes loops of: whole tensors, and no look at values.

What ``losses`` and ``gradients`` do tile by tile is written down at once; heads are always divided
by their peaks. ``mse``, whose products no compiler improves, stays an operation of its own.
Guarded by tests/adapters/test_torch_compile.py.
"""

import math

import torch
from torch import Tensor

from amad_torch.closed_form.gram import alignment, inverse, narrowed, through_weights
from amad_torch.closed_form.losses import Options, State
from amad_torch.closed_form.sums import Maps


def traced_losses(maps: Maps, options: Options) -> tuple[Tensor, State]:
    """As ``losses``, of ``kl``, ``js`` and ``token``."""
    teachers = maps.heads[0]
    both = [_vectors(one, maps) for one in (maps.teacher, maps.student)]
    divisors = torch.cat([one.amax(dim=-1) for one in both], dim=-1)
    divisors = divisors.where(divisors != 0, 1.0)
    parts = divisors[..., :teachers], divisors[..., teachers:]
    both = [one / size.unsqueeze(-1) for one, size in zip(both, parts, strict=True)]
    totals = torch.cat([one.sum(dim=-1) for one in both], dim=-1).to(maps.kind)
    factors = inverse(totals).to(maps.dtype)
    target, student = _normalised(maps, divisors, factors)
    teacher_squares, squares = (one.square().sum(dim=-1).to(maps.kind) for one in (target, student))
    products = (target @ student.mT).to(maps.kind)
    aligned = alignment(products, teacher_squares, squares, options.temperature)
    mixing = aligned.weights.to(maps.dtype)
    value, slope, factor = _divergence(target, mixing @ student, options)
    most = torch.finfo(maps.dtype).max
    by_weight = (factor * (slope @ student.mT).to(maps.kind)).clamp(-most, most)
    by_heads = through_weights(aligned, by_weight)
    own = (aligned.weights * by_weight).sum(dim=-2)
    terms = sum(maps.heads) + 1
    # Of normalised heads, as those here are; the shift is of heads over their peaks.
    state = State(
        mixing,
        narrowed(by_heads.from_teacher * factors[..., teachers:, None], maps.dtype, terms),
        narrowed(by_heads.from_student * factors[..., teachers:], maps.dtype, terms),
        narrowed(-own * factors[..., teachers:], maps.dtype, terms),
        factors,
        divisors,
    )
    return value.flatten(1).sum(dim=1), state


def traced_gradient(maps: Maps, options: Options, state: State, upstream: Tensor) -> Tensor:
    """As ``gradient``, of the same."""
    target, student = _normalised(maps, state.divisors, state.factors)
    _, slope, factor = _divergence(target, state.mixing @ student, options)
    students = slice(maps.heads[0], None)
    share = upstream.to(maps.dtype).reshape(-1, 1, 1, 1)
    back = state.mixing.mT * state.factors[..., students, None] * (factor * share)
    found = (
        back @ slope
        + (state.from_teacher * share) @ target
        + (state.from_student.unsqueeze(-1) * share) * student
        + state.shift.unsqueeze(-1) * share
    )
    most = torch.finfo(maps.dtype).max
    found = (found / state.divisors[..., students, None]).clamp(-most, most)
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


def _normalised(maps: Maps, divisors: Tensor, factors: Tensor) -> list[Tensor]:
    teachers = maps.heads[0]
    parts = slice(teachers), slice(teachers, None)
    return [
        _vectors(one, maps) / divisors[..., part, None] * factors[..., part, None]
        for one, part in zip((maps.teacher, maps.student), parts, strict=True)
    ]


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
    logarithm = ratio.where(holds, 1.0).log()
    if rest:
        logarithm = logarithm.where(above, logarithm + rest)
    return (target * logarithm.where(holds, 0.0)).sum(dim=-1), ratio.where(above, 0.0)
