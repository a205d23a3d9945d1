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
from amad_torch.closed_form.strips import ForStrips, Tile, put
from amad_torch.closed_form.sums import Maps, filled
from amad_torch.closed_form.workspace import kept_workspace


def gradient(maps: Maps, options: Options, state: State, upstream: Tensor) -> Tensor:
    """``Σ_b upstream_b ∂L_b/∂student``, in the student's shape and dtype."""
    if maps.on_kernels:
        return _by_kernel(maps, options, state, upstream.to(maps.kind))
    found = torch.empty_like(maps.student, memory_format=torch.contiguous_format)
    upstream = upstream.to(maps.kind)
    with full_precision(maps.student):
        if maps.by_row:
            for tile in maps.tiles():
                place = tile.samples, tile.queries
                own = State(*(one[place] for one in state))
                part = found[tile.samples, :, tile.queries]
                _of_divergences(part, maps.part(*place), options, own, upstream[tile.samples])
        elif options.variant != "mse":
            _of_divergences(found, maps, options, state, upstream)
        elif _is_scaled(state) or not maps.ready:
            _of_squared_distances(found, maps, state, upstream)
        else:
            from_teacher, from_student = (
                _times(one, upstream, maps)[:, 0]
                for one in (state.from_teacher, state.from_student)
            )
            flat = found.flatten(2)
            torch.bmm(from_teacher, maps.teacher.flatten(2), out=flat)
            flat.baddbmm_(from_student, maps.student.flatten(2))
    return found


def _by_kernel(maps: Maps, options: Options, state: State, upstream: Tensor) -> Tensor:
    """The same in one launch."""
    from amad_torch.kernels import maps as kernels

    given = maps.teacher, maps.student, maps.mask
    from_teacher, from_student = (
        _times(one, upstream, maps) for one in (state.from_teacher, state.from_student)
    )
    if options.variant == "mse":
        return kernels.gradient_of_squared_distances(
            *given, divisors=state.divisors, from_teacher=from_teacher, from_student=from_student
        )
    own = state.factors[..., maps.heads[0] :, None] * DIVERGENCES[options.variant].factor
    return kernels.gradient_of_divergences(
        *given,
        by_row=maps.by_row,
        divisors=state.divisors,
        factors=state.factors,
        mixing=state.mixing,
        back=_times(state.mixing.mT * own, upstream, maps),
        from_teacher=from_teacher,
        from_student=from_student,
        shift=_times(state.shift, upstream, maps),
        kind="js" if options.variant == "js" else "kl",
        eps=options.eps,
    )


def _of_squared_distances(found: Tensor, maps: Maps, state: State, upstream: Tensor) -> None:
    """``dS = from_teacher T + from_student S``, a tile at a time."""
    workspace = kept_workspace(found, maps.dtype)
    divisors = state.divisors if _is_scaled(state) else None
    from_teacher, from_student = (
        ForStrips(_times(one, upstream, maps)) for one in (state.from_teacher, state.from_student)
    )
    finish = _Finish(found, maps, divisors)
    for tile, teacher, student in filled(maps, workspace, divisors):
        part = workspace("gradient", *student.shape)
        torch.bmm(from_teacher(tile), teacher, out=part)
        finish(part.baddbmm_(from_student(tile), student), tile)


def _of_divergences(
    found: Tensor, maps: Maps, options: Options, state: State, upstream: Tensor
) -> None:
    """``dS = back d + from_teacher T + from_student S + shift``, a tile at a time."""
    workspace = kept_workspace(found, maps.dtype)
    divergence = DIVERGENCES[options.variant]
    divisors = state.divisors if _is_scaled(state) else None
    own = state.factors[..., maps.heads[0] :, None] * divergence.factor
    mixing = ForStrips(state.mixing)
    back, from_teacher, from_student, shift = (
        ForStrips(_times(one, upstream, maps))
        for one in (state.mixing.mT * own, state.from_teacher, state.from_student, state.shift)
    )
    finish = _Finish(found, maps, divisors)
    most = torch.finfo(maps.dtype).max
    for tile, target, student in filled(maps, workspace, divisors, state.factors):
        mixture, *work = (workspace(name, *target.shape) for name in ("mixture", "work", "more"))
        torch.bmm(mixing(tile), student, out=mixture)
        slope = divergence.slope(target, mixture, (work[0], work[1]), options.eps)
        of_head = from_student(tile).unsqueeze(-1)
        part = torch.addcmul(shift(tile).unsqueeze(-1), of_head, student, out=student)
        part.baddbmm_(back(tile), slope).baddbmm_(from_teacher(tile), target)
        finish(part.clamp_(-most, most), tile)


class _Finish:
    """Puts a tile of the gradient in its place, of heads as they came, saturating."""

    def __init__(self, found: Tensor, maps: Maps, divisors: Tensor | None) -> None:
        self._found, self._mask = found, maps.mask
        self._most = torch.finfo(maps.dtype).max
        own = None if divisors is None else divisors[..., maps.heads[0] :]
        self._divisors = None if own is None else ForStrips(own)

    def __call__(self, part: Tensor, tile: Tile) -> None:
        if self._divisors is not None:
            part.div_(self._divisors(tile).unsqueeze(-1)).clamp_(-self._most, self._most)
        put(part, self._found, tile, mask=self._mask)


def _times(values: Tensor, upstream: Tensor, maps: Maps) -> Tensor:
    """``[B, R, ...]`` times the gradient that comes from above ``[B]``, in the dtype of cells."""
    share = upstream.reshape(-1, *[1] * (values.dim() - 1))
    return narrowed(values * share, maps.dtype, 2 * sum(maps.heads))


def _is_scaled(state: State) -> bool:
    """Whether heads are divided first; on a device, where to look would be to wait, they are."""
    return state.divisors.device.type != "cpu" or bool((state.divisors != 1).any())
