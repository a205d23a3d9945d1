"""Loss and gradient from maps in two or three sweeps, none of which leaves anything of their size.

First sweep: sums over cells, whence the weights. ``mse`` needs no more. The others need the mixture
``m_i = Σ_j a_ij s_j/|s_j|_1`` cell by cell: a second sweep takes the divergence and its derivative
by the weights. The backward pass is one sweep that makes the gradient from them and the maps.
Guarded by tests/closed_form/test_implementations.py.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from amad_torch.attention.precision import full_precision
from amad_torch.closed_form.cells import DIVERGENCES
from amad_torch.closed_form.gram import (
    Alignment,
    alignment,
    inverse,
    narrowed,
    squared_distance,
    through_weights,
)
from amad_torch.closed_form.strips import ForStrips, add_strips
from amad_torch.closed_form.sums import Maps, Sums, filled, sums
from amad_torch.closed_form.workspace import kept_workspace

VARIANTS = ("mse", "kl", "token", "js")
"""All but ``projected``, whose product with a learned matrix outweighs the rest."""

_NEAR = 1 / 64
"""Below this share of 1 a squared distance from Gram matrices has lost too many digits."""


class Options(NamedTuple):
    """What is fixed in one evaluation; ``check``: look for bad values."""

    variant: str
    temperature: float
    eps: float
    check: bool


class State(NamedTuple):
    """What the gradient is made of, beside the maps: small tensors ``[B, R, ...]``.

    ``∂L/∂s_j = Σ_i mixing_ij/|s_j|_1 d_i + Σ_i from_teacher_ji t_i + Σ_m from_student_jm s_m +
    shift_j``, with ``d_i`` the derivative of the divergence by the mixture; where probabilities are
    compared, ``t_i`` and ``s_m`` over their L1 norms. Of ``mse`` the second and third term alone.

    Attributes:
        factors: one over the L1 norms, ``[B, R, Ht + Hs]``.
        divisors: what heads are divided by first, ``[B, R, Ht + Hs]``: 1, or their peaks.
    """

    mixing: Tensor
    from_teacher: Tensor
    from_student: Tensor
    shift: Tensor
    factors: Tensor
    divisors: Tensor


def state_shapes(maps: Maps, variant: str) -> list[tuple[int, ...]]:
    """Of the tensors of the ``State`` that :func:`losses` gives."""
    teachers, students = maps.heads
    if variant == "mse":
        own = [(0,), (students, teachers), (students, students), (0,), (0,), (teachers + students,)]
    else:
        both, alone = (teachers + students,), (students,)
        own = [(teachers, students), (students, teachers), alone, alone, both, both]
    return [(*maps.vectors, *shape) for shape in own]


def losses(maps: Maps, options: Options, *, derivative: bool) -> tuple[Tensor, State]:
    """One loss a sample ``[B]``; without ``derivative`` the state lacks what takes time to find."""
    with full_precision(maps.student):
        if options.variant == "mse":
            return _squared_distances(maps, options)
        if maps.on_kernels or not maps.by_row:
            return _divergences(maps, options, derivative=derivative)
        return _row_by_row(maps, options, derivative=derivative)


def _row_by_row(maps: Maps, options: Options, *, derivative: bool) -> tuple[Tensor, State]:
    """``token`` (eq. 12): rows know nothing of each other, so a tile is a problem of its own."""
    total = maps.student.new_zeros(maps.vectors[0], dtype=maps.dtype)
    found = None
    for tile in maps.tiles():
        place = tile.samples, tile.queries
        values, state = _divergences(maps.part(*place), options, derivative=derivative)
        total[tile.samples] += values
        if found is None:
            found = State(*(one.new_empty((*maps.vectors, *one.shape[2:])) for one in state))
        for whole, part in zip(found, state, strict=True):
            whole[place] = part
    assert found is not None
    return total, found


def _squared_distances(maps: Maps, options: Options) -> tuple[Tensor, State]:
    """``mse`` (eq. 4-6) from Gram matrices; from the maps themselves where those cancel."""
    found = sums(maps, gram=True, check=options.check)
    assert found.gram is not None
    aligned = _aligned(maps, found, options)
    values, by_heads = squared_distance(aligned, found.gram)
    values = values.clamp(min=0.0)  # rounding below 0 is 0
    near = ((values < _NEAR) & (aligned.teacher_factor != 0)).any(dim=(1, 2))
    if maps.on_kernels:
        values = _distances_by_kernel(maps, found, aligned, near, values)
    elif maps.student.device.type == "cpu" and bool(near.any()):
        values = _distances_of_maps(maps, found, aligned, near, values)
    none = [values.new_empty(shape, dtype=maps.dtype) for shape in 3 * [(*maps.vectors, 0)]]
    terms = sum(maps.heads)
    from_teacher, from_student = (narrowed(one, maps.dtype, terms) for one in by_heads)
    state = State(none[0], from_teacher, from_student, none[1], none[2], _divisors(maps, found))
    return values.flatten(1).sum(dim=1).to(maps.dtype), state


def _distances_of_maps(
    maps: Maps, found: Sums, aligned: Alignment, near: Tensor, values: Tensor
) -> Tensor:
    """``values`` (eq. 4) of samples ``near`` as they are defined, ``|t̂_i - Σ_j a_ij ŝ_j|²``."""
    workspace = kept_workspace(maps.student, maps.dtype)
    exact = torch.zeros_like(values)
    weights = ForStrips(aligned.weights.to(maps.dtype))
    factors = inverse(found.squares.sqrt()).to(maps.dtype)
    only = set(near.nonzero().flatten().tolist())
    for tile, target, student in filled(maps, workspace, found.peaks, factors, only):
        rest = workspace("rest", *target.shape)
        torch.baddbmm(target, weights(tile), student, beta=-1, out=rest)
        add_strips(exact, rest.square_().sum(dim=-1), tile)
    return exact.where(near[:, None, None], values)


def _distances_by_kernel(
    maps: Maps, found: Sums, aligned: Alignment, near: Tensor, values: Tensor
) -> Tensor:
    """Likewise."""
    from amad_torch.kernels.maps import squared_distances

    return squared_distances(
        maps.teacher,
        maps.student,
        maps.mask,
        divisors=_divisors(maps, found),
        factors=inverse(found.squares.sqrt()),
        mixing=aligned.weights,
        wanted=near,
        values=values,
    )


def _divergences(maps: Maps, options: Options, *, derivative: bool) -> tuple[Tensor, State]:
    """``kl``, ``js`` and ``token`` (eq. 9, 12): sums first, then mixtures a tile at a time."""
    found = sums(maps, gram=False, check=options.check)
    aligned = _aligned(maps, found, options)
    divergence = DIVERGENCES[options.variant]
    teachers = maps.heads[0]
    mixing, factors = aligned.weights.to(maps.dtype), inverse(found.totals).to(maps.dtype)
    given = mixing, factors, options
    if maps.on_kernels:
        values, by_weight = _cells_by_kernel(maps, found, *given, derivative=derivative)
    else:
        values, by_weight = _cells(maps, found, *given, derivative=derivative)
    most = torch.finfo(maps.dtype).max
    by_weight = (divergence.factor * by_weight).clamp(-most, most)
    by_heads = through_weights(aligned, by_weight)
    totals, own = found.totals, (aligned.weights * by_weight).sum(dim=-2)
    terms = sum(maps.heads) + 1
    state = State(
        mixing,
        narrowed(by_heads.from_teacher * totals[..., None, :teachers], maps.dtype, terms),
        narrowed(by_heads.from_student * totals[..., teachers:], maps.dtype, terms),
        narrowed(-own * inverse(totals[..., teachers:]), maps.dtype, terms),
        factors,
        _divisors(maps, found),
    )
    return values.flatten(1).sum(dim=1).to(maps.dtype), state


def _cells(
    maps: Maps, found: Sums, mixing: Tensor, factors: Tensor, options: Options, *, derivative: bool
) -> tuple[Tensor, Tensor]:
    """Divergences ``[B, R, Ht]``, and ``slope Sᵀ`` ``[B, R, Ht, Hs]`` if asked for."""
    values = torch.zeros_like(found.products[..., 0])
    by_weight = torch.zeros_like(found.products)
    divergence, workspace = DIVERGENCES[options.variant], kept_workspace(maps.student, maps.dtype)
    weights = ForStrips(mixing)
    for tile, target, student in filled(maps, workspace, found.peaks, factors):
        mixture, *work = (workspace(name, *target.shape) for name in ("mixture", "work", "more"))
        torch.bmm(weights(tile), student, out=mixture)
        value, slope = divergence.value(target, mixture, (work[0], work[1]), options.eps)
        add_strips(values, value, tile)
        if derivative:
            add_strips(by_weight, torch.bmm(slope, student.mT), tile)
    return values, by_weight


def _cells_by_kernel(
    maps: Maps, found: Sums, mixing: Tensor, factors: Tensor, options: Options, *, derivative: bool
) -> tuple[Tensor, Tensor]:
    """Likewise."""
    from amad_torch.kernels.maps import divergences

    return divergences(
        maps.teacher,
        maps.student,
        maps.mask,
        by_row=maps.by_row,
        divisors=_divisors(maps, found),
        factors=factors,
        mixing=mixing,
        kind="js" if options.variant == "js" else "kl",
        eps=options.eps,
        derivative=derivative,
        dtype=maps.kind,
    )


def _aligned(maps: Maps, found: Sums, options: Options) -> Alignment:
    teachers = maps.heads[0]
    squares = found.squares[..., :teachers], found.squares[..., teachers:]
    return alignment(found.products, *squares, options.temperature)


def _divisors(maps: Maps, found: Sums) -> Tensor:
    if found.peaks is not None:
        return found.peaks
    return torch.ones_like(found.squares, dtype=maps.dtype)
