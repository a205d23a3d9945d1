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
from amad_torch.closed_form.sums import Maps, Sums, added_up, filled, in_place, sums
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

    ``∂L/∂s_j`` is a sum of cells of heads times ``coefficients`` ``[B, R, Hs, ...]``: in ``mse`` of
    ``t_i`` and ``s_m`` (``Ht + Hs`` of them); in the others of ``t_i``, ``s_j`` and 1 (``Ht + 2``),
    heads over their L1 norms, and ``Σ_i a_ij/|s_j|_1 d_i`` beside it, with ``d_i`` the derivative
    of the divergence by the mixture. Where ``dense``, it is a sum of heads as they are.

    Attributes:
        coefficients: as above.
        divisors: what heads are divided by first, ``[B, R, Ht + Hs]``: 1, or their peaks.
        mixing: the weights ``a_ij``, ``[B, R, Ht, Hs]``, or, where ``dense``,
            ``a_ij |t_i|_1/|s_j|_1``; as all below, not of ``mse``.
        factors: one over the L1 norms, ``[B, R, Ht + Hs]``, which heads are multiplied by.
        dense: 1 where no cell is near 0, ``[B, R, 1]``: heads need not be divided by their norms.
    """

    coefficients: Tensor
    divisors: Tensor
    mixing: Tensor | None = None
    factors: Tensor | None = None
    dense: Tensor | None = None

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(one for one in self if one is not None)

    @property
    def of_mixtures(self) -> tuple[Tensor, Tensor, Tensor]:
        """The last three."""
        assert self.mixing is not None
        assert self.factors is not None
        assert self.dense is not None
        return self.mixing, self.factors, self.dense


def state_shapes(maps: Maps, variant: str) -> list[tuple[int, ...]]:
    """Of the tensors of the ``State`` that :func:`losses` gives."""
    teachers, students = maps.heads
    both = (teachers + students,)
    if variant == "mse":
        own: list[tuple[int, ...]] = [(students, teachers + students), both]
    else:
        own = [(students, teachers + 2), both, (teachers, students), both, (1,)]
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
    """``token`` (eq. 12): rows know nothing of each other, so some are a problem of their own."""
    total = maps.student.new_zeros(maps.vectors[0], dtype=maps.dtype)
    shapes = state_shapes(maps, options.variant)
    found = State(*(total.new_empty(shape) for shape in shapes))
    for place in maps.problems():
        values, state = _divergences(maps.part(place), options, derivative=derivative)
        total[place[0]] += values
        for whole, part in zip(found.tensors, state.tensors, strict=True):
            whole[place] = part
    return total, found


def _squared_distances(maps: Maps, options: Options) -> tuple[Tensor, State]:
    """``mse`` (eq. 4-6) from Gram matrices; from the maps themselves where those cancel."""
    found = sums(maps, gram=True, check=options.check)
    assert found.gram is not None
    aligned = _aligned(maps, found, options)
    values, by_heads = squared_distance(aligned, found.gram)
    values = values.clamp(min=0.0)  # rounding below 0 is 0
    if maps.on_kernels:
        values = _distances_by_kernel(maps, found, aligned, _near(values, aligned), values)
    elif maps.student.device.type == "cpu" and float(values.amin()) < _NEAR:
        values = _distances_of_maps(maps, found, aligned, _near(values, aligned), values)
    coefficients = narrowed(torch.cat(by_heads, dim=-1), maps.dtype, sum(maps.heads))
    return values.sum(dim=(1, 2)).to(maps.dtype), State(coefficients, _divisors(maps, found))


def _near(values: Tensor, aligned: Alignment) -> Tensor:
    """Samples ``[B]`` of which a head that is not empty has a small distance."""
    return ((values < _NEAR) & (aligned.teacher_factor != 0)).any(dim=(1, 2))


def _distances_of_maps(
    maps: Maps, found: Sums, aligned: Alignment, near: Tensor, values: Tensor
) -> Tensor:
    """``values`` (eq. 4) of samples ``near`` as they are defined, ``|t̂_i - Σ_j a_ij ŝ_j|²``."""
    workspace, exact = kept_workspace(maps.student, maps.dtype), values.clone()
    factors = inverse(found.squares.sqrt()).to(maps.dtype)
    for sample in near.nonzero().flatten().tolist():
        own = slice(sample, sample + 1)
        mask = None if maps.mask is None else maps.mask[own]
        chosen = Maps(maps.teacher[own], maps.student[own], mask, maps.by_row)
        peaks, cuts = None if found.peaks is None else found.peaks[own], chosen.tiling()
        weights = cuts.of(aligned.weights[own].to(maps.dtype))
        exact[own] = 0.0
        tiles = filled(chosen, cuts, peaks, factors[own])
        for (target, student), mixing in zip(tiles, weights, strict=True):
            rest = workspace("rest", *target.shape)
            torch.baddbmm(target, mixing, student, beta=-1, out=rest)
            exact[own, 0] += rest.square_().sum(dim=-1)
    return exact


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
    """``kl``, ``js`` and ``token`` (eq. 9, 12): sums first, then mixtures a tile at a time.

    ``m_i = Σ_j a_ij s_j/|s_j|_1``. Of heads as they are, ``Σ_j a_ij |t_i|_1/|s_j|_1 s_j`` is
    ``|t_i|_1 m_i``, which stands to ``t_i`` as ``m_i`` to ``t_i/|t_i|_1``: where no floor is met,
    no head needs to be divided by its norm.
    """
    found = sums(maps, gram=False, check=options.check)
    assert found.totals is not None
    aligned, factor = _aligned(maps, found, options), DIVERGENCES[options.variant].factor
    factors, dense = inverse(found.totals), _is_dense(maps, found, options)
    (of_teacher, of_student), (by_teacher, by_student) = map(maps.by_model, (found.totals, factors))
    mixing = aligned.weights
    if dense:
        mixing = mixing * of_teacher.unsqueeze(-1) * by_student.unsqueeze(-2)
    given = mixing.to(maps.dtype), factors.to(maps.dtype), options
    if maps.on_kernels:
        values, by_weight = _cells_by_kernel(maps, found, *given, derivative=derivative)
    else:
        values, by_weight = _cells(maps, found, *given, dense=dense, derivative=derivative)
    if dense:
        values, by_weight = values * by_teacher, by_weight * (factor * by_student).unsqueeze(-2)
    else:
        most = torch.finfo(maps.dtype).max
        by_weight = (factor * by_weight).clamp_(-most, most)
    from_teacher, from_student = through_weights(aligned, by_weight)
    if not dense:
        from_teacher, from_student = (
            from_teacher * of_teacher.unsqueeze(-2),
            from_student * of_student,
        )
    shift = (aligned.weights * by_weight).sum(dim=-2).mul_(-by_student)
    alone = from_student.unsqueeze(-1), shift.unsqueeze(-1)
    coefficients = torch.cat([from_teacher, *alone], dim=-1)
    coefficients = narrowed(coefficients, maps.dtype, sum(maps.heads) + 1)
    flags = maps.student.new_full((*maps.vectors, 1), dense, dtype=maps.dtype)
    state = State(coefficients, _divisors(maps, found), *given[:2], flags)
    return values.sum(dim=(1, 2)).to(maps.dtype), state


def _is_dense(maps: Maps, found: Sums, options: Options) -> bool:
    """Whether no cell of a head, nor of a mixture of heads, is near 0 or the floor.

    A mixture is no smaller than the smallest share of a student head, as weights add up to 1.
    """
    if found.least is None or found.totals is None or found.peaks is not None or not maps.ready:
        return False
    near = torch.finfo(maps.dtype).tiny * 2**40
    bounds = near, max(near, 2 * options.eps)
    totals = map(float, (one.amax() for one in maps.by_model(found.totals)))
    return all(
        least > bound * total
        for least, bound, total in zip(found.least, bounds, totals, strict=True)
    )


def _cells(
    maps: Maps,
    found: Sums,
    mixing: Tensor,
    factors: Tensor,
    options: Options,
    *,
    dense: bool,
    derivative: bool,
) -> tuple[Tensor, Tensor]:
    """Divergences ``[B, R, Ht]``, and ``slope Sᵀ`` ``[B, R, Ht, Hs]`` if asked for."""
    divergence, workspace = DIVERGENCES[options.variant], kept_workspace(maps.student, maps.dtype)
    cuts, eps = maps.tiling(), None if dense else options.eps
    teachers, students = maps.heads
    size = maps.student.shape[0], cuts.parts, teachers
    values = mixing.new_empty(size)
    by_weight = mixing.new_zeros((*size, students))
    tiles = in_place(maps, cuts) if dense else filled(maps, cuts, found.peaks, factors)
    slots = (cuts.of(one) for one in (mixing, values, by_weight))
    for (target, student), weights, to_value, to_weight in zip(tiles, *slots, strict=True):
        mixture, *work = (workspace(name, *target.shape) for name in ("mixture", "work", "more"))
        torch.bmm(weights, student, out=mixture)
        value, slope = divergence.value(target, mixture, (work[0], work[1]), eps)
        to_value.copy_(value)
        if derivative:
            torch.bmm(slope, student.mT, out=to_weight)
    return added_up(values, maps), added_up(by_weight, maps)


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
