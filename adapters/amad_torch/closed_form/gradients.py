"""The backward pass from maps: one sweep that makes the student's gradient from a ``State``.

Nothing of the size of maps exists beside that gradient. Guarded by
tests/closed_form/test_implementations.py.
"""

import torch
from torch import Tensor

from amad_torch.attention.precision import full_precision
from amad_torch.closed_form.cells import DIVERGENCES
from amad_torch.closed_form.gram import narrowed
from amad_torch.closed_form.losses import Options, State
from amad_torch.closed_form.memory import memory_like
from amad_torch.closed_form.sums import Maps, filled, in_place
from amad_torch.closed_form.tiles import Tiling
from amad_torch.closed_form.workspace import kept_workspace


def gradient(maps: Maps, options: Options, state: State, upstream: Tensor) -> Tensor:
    """``Σ_b upstream_b ∂L_b/∂student``, in the student's shape and dtype."""
    if maps.on_kernels:
        return _by_kernel(maps, options, state, upstream.to(maps.kind))
    found = memory_like(maps.student)
    with full_precision(maps.student):
        if maps.by_row:
            for place in maps.problems():
                own, part = (
                    State(*(one[place] for one in state.tensors)),
                    found[place[0], :, place[1]],
                )
                _of_divergences(part, maps.part(place), options, own, upstream[place[0]])
            return found
        if options.variant != "mse":
            _of_divergences(found, maps, options, state, upstream)
            return found
        coefficients = _times(state.coefficients, upstream, maps)
        if _is_scaled(state) or not maps.ready:
            _of_squared_distances(found, maps, state, coefficients)
        else:
            from_teacher, from_student = maps.by_model(coefficients[:, 0])
            flat = found.flatten(2)
            torch.bmm(from_teacher, maps.teacher.flatten(2), out=flat)
            flat.baddbmm_(from_student, maps.student.flatten(2))
    return found


def _by_kernel(maps: Maps, options: Options, state: State, upstream: Tensor) -> Tensor:
    """The same in one launch."""
    from amad_torch.kernels import maps as kernels

    given = maps.teacher, maps.student, maps.mask
    if options.variant == "mse":
        coefficients = _times(state.coefficients, upstream, maps)
        parts = [one.contiguous() for one in maps.by_model(coefficients)]
        return kernels.gradient_of_squared_distances(
            *given, divisors=state.divisors, from_teacher=parts[0], from_student=parts[1]
        )
    factor = DIVERGENCES[options.variant].factor
    mixing, factors, _ = state.of_mixtures
    back, from_teacher, from_student, shift = _coefficients(
        maps, state, upstream, factor, dense=False
    )
    return kernels.gradient_of_divergences(
        *given,
        by_row=maps.by_row,
        divisors=state.divisors,
        factors=factors,
        mixing=mixing,
        back=back,
        from_teacher=from_teacher,
        from_student=from_student.squeeze(-1),
        shift=shift.squeeze(-1),
        kind="js" if options.variant == "js" else "kl",
        eps=options.eps,
    )


def _of_squared_distances(found: Tensor, maps: Maps, state: State, coefficients: Tensor) -> None:
    """``dS = from_teacher T + from_student S``, a tile at a time."""
    workspace, cuts = kept_workspace(found, maps.dtype), maps.tiling()
    divisors = state.divisors if _is_scaled(state) else None
    from_teacher, from_student = (cuts.of(one) for one in maps.by_model(coefficients))
    finish = _Finish(found, maps, cuts, divisors)
    for place, (teacher, student) in enumerate(filled(maps, cuts, divisors)):
        part = workspace("gradient", *student.shape)
        torch.bmm(from_teacher[place], teacher, out=part)
        finish(place, part.baddbmm_(from_student[place], student))


def _of_divergences(
    found: Tensor, maps: Maps, options: Options, state: State, upstream: Tensor
) -> None:
    """``dS = back d + from_teacher T + from_student S + shift``, a tile at a time.

    Of dense maps, and where no product overflows, on the maps and the gradient where they lie.
    """
    workspace, cuts = kept_workspace(found, maps.dtype), maps.tiling()
    divergence = DIVERGENCES[options.variant]
    factor = divergence.factor
    flags = state.of_mixtures[2]
    some = flags.device.type == "cpu" and bool(flags.any())
    dense = some and bool(flags.all())
    if dense:
        coefficients = _coefficients(maps, state, upstream, factor, dense=True)
        dense = all(map(_is_moderate, coefficients))
    if not dense:
        state = _over_norms(maps, state) if some else state
        coefficients = _coefficients(maps, state, upstream, factor, dense=False)
    mixing, factors, _ = state.of_mixtures
    mixes, back, from_teacher, from_student, shift = map(cuts.of, (mixing, *coefficients))
    divisors = state.divisors if not dense and _is_scaled(state) else None
    tiles = in_place(maps, cuts) if dense else filled(maps, cuts, divisors, factors)
    # Products are written in one call where memory is contiguous, or of one matrix alone.
    in_order = dense and not maps.by_row
    parts = cuts.cut(found) if in_order else []
    finish = _Finish(found, maps, cuts, divisors)
    for place, (target, student) in enumerate(tiles):
        mixture, *work = (workspace(name, *target.shape) for name in ("mixture", "work", "more"))
        torch.bmm(mixes[place], student, out=mixture)
        eps = None if dense else options.eps
        slope = divergence.slope(target, mixture, (work[0], work[1]), eps)
        free = "more" if slope is work[0] else "work"
        part = parts[place] if in_order else workspace(free, *student.shape)
        # Not `addcmul`, which takes twice as long where it broadcasts.
        torch.mul(student, from_student[place], out=part).add_(shift[place])
        part.baddbmm_(back[place], slope).baddbmm_(from_teacher[place], target)
        if not in_order:
            finish(place, part)


class _Finish:
    """Puts a tile of the gradient in its place, of heads as they came, saturating."""

    def __init__(self, found: Tensor, maps: Maps, cuts: Tiling, divisors: Tensor | None) -> None:
        self._most = torch.finfo(maps.dtype).max
        self._places = cuts.cut(found)
        self._masks = None if maps.mask is None else cuts.cut(maps.mask.unsqueeze(1))
        own = None if divisors is None else divisors[..., maps.heads[0] :].unsqueeze(-1)
        self._divisors = None if own is None else cuts.of(own)

    def __call__(self, place: int, part: Tensor) -> None:
        part.clamp_(-self._most, self._most)
        if self._divisors is not None:
            part.div_(self._divisors[place]).clamp_(-self._most, self._most)
        if self._masks is not None:
            part.masked_fill_(~self._masks[place], 0.0)
        self._places[place].copy_(part)


def _coefficients(
    maps: Maps, state: State, upstream: Tensor, factor: float, *, dense: bool
) -> list[Tensor]:
    """Of slopes and teacher's heads ``[B, R, Hs, Ht]``; of the student's, and of 1, ``[.., 1]``.

    ``dense``: of heads as they are, and not saturating.
    """
    mixing, factors, _ = state.of_mixtures
    by_teacher, by_student = maps.by_model(factors)
    beside = by_teacher.unsqueeze(-2) if dense else by_student.unsqueeze(-1)
    both = mixing.mT * beside, state.coefficients
    if dense:
        share = upstream.to(maps.dtype).reshape(-1, 1, 1, 1)
        back, of_heads = both[0] * (factor * share), both[1] * share
    else:
        back, of_heads = (
            _times(one, times * upstream, maps)
            for one, times in zip(both, (factor, 1), strict=True)
        )
    return [back, *of_heads.split_with_sizes([maps.heads[0], 1, 1], dim=-1)]


def _over_norms(maps: Maps, state: State) -> State:
    """The same of heads over their L1 norms throughout."""
    mixing, factors, flags = state.of_mixtures
    of_teacher, of_student = maps.by_model(factors.reciprocal().where(flags != 0, 1.0))
    mixing = mixing / of_teacher.unsqueeze(-1) * of_student.unsqueeze(-2)
    coefficients = state.coefficients.clone()
    coefficients[..., :-2] *= of_teacher.unsqueeze(-2)
    coefficients[..., -2] *= of_student
    return state._replace(coefficients=coefficients, mixing=mixing)


def _times(values: Tensor, upstream: Tensor, maps: Maps) -> Tensor:
    """``[B, R, ...]`` times the gradient that comes from above ``[B]``, in the dtype of cells."""
    share = upstream.reshape(-1, *[1] * (values.dim() - 1))
    return narrowed(values * share, maps.dtype, 2 * sum(maps.heads))


def _is_moderate(coefficients: Tensor) -> bool:
    """Whether no product with dense heads, nor with a slope of theirs, overflows.

    Shares are above 2^40 times the smallest normal number, so slopes are below 2^-40 over that.
    """
    least, most = (float(one) for one in torch.aminmax(coefficients))
    return least > -(2.0**32) and most < 2.0**32


def _is_scaled(state: State) -> bool:
    """Whether heads are divided first; on a device, where to look would be to wait, they are."""
    return state.divisors.device.type != "cpu" or bool((state.divisors != 1).any())
