"""The closed form as a function that autograd, ``torch.func`` and ``torch.compile`` know.

The first derivative is the closed form's. Those beyond it are taken of the readable form, which is
handed in as ``plain``: correct, and as slow and large as that is. Guarded by
tests/adapters/test_torch_autograd.py and test_torch_compile.py.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from amad_torch.closed_form.gradients import gradient
from amad_torch.closed_form.losses import Options, State, losses, state_shapes
from amad_torch.closed_form.sums import Maps
from amad_torch.closed_form.traced import traced_gradient, traced_losses

Plain = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Teacher, student and mask to one loss a sample, in operations that torch differentiates."""


def closed_form_losses(
    teacher: Tensor,
    student: Tensor,
    mask: Tensor | None,
    options: Options,
    plain: Plain,
    *,
    compiling: bool,
) -> Tensor:
    """One loss a sample ``[B]`` of maps ``[B, H, Q, K]``, by a mask ``[B, Q, K]``.

    ``compiling``: for a graph that is being traced, ``mse`` as one operation that is not looked
    into, the others in a form that compilers like.
    """
    derivative = torch.is_grad_enabled() and (
        student.requires_grad
        or torch._C._are_functorch_transforms_active()
        or torch.autograd.forward_ad._current_level >= 0
    )
    found: tuple[Tensor, ...] = _Losses.apply(  # type: ignore[no-untyped-call]
        teacher.detach(), student, mask, options, plain, derivative, compiling
    )
    return found[0]


class _Losses(torch.autograd.Function):
    """``[B]`` and the tensors of a ``State``, which have no derivative of their own."""

    @staticmethod
    def forward(
        teacher: Tensor,
        student: Tensor,
        mask: Tensor | None,
        options: Options,
        plain: Plain,
        derivative: bool,
        compiling: bool,
    ) -> tuple[Tensor, ...]:
        maps = _maps(teacher, student, mask, options)
        if _is_one_operation(options, compiling=compiling):
            return tuple(_losses_operation(teacher, student, mask, *options, derivative))
        if compiling:
            found, state = traced_losses(maps, options)
        else:
            found, state = losses(maps, options, derivative=derivative)
        return found, *state

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        teacher, student, mask, ctx.options, ctx.plain, _, ctx.compiling = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)
        saved = (teacher, student, mask, *output[1:])
        ctx.save_for_backward(*saved)
        ctx.save_for_forward(*saved)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
        found = None
        if upstream is not None and ctx.needs_input_grad[1]:
            found = _gradient(upstream, ctx.saved_tensors, ctx)
        return None, found, None, None, None, None, None

    @staticmethod
    def jvp(ctx: Any, _: Tensor | None, tangent: Tensor | None, *__: None) -> tuple[Any, ...]:
        saved = ctx.saved_tensors
        ones = torch.ones_like(saved[1][:, 0, 0, 0], dtype=saved[-1].dtype)
        assert tangent is not None
        by_student = _gradient(ones, saved, ctx).to(ones.dtype)
        return (by_student * tangent).flatten(1).sum(dim=1), *[None] * len(State._fields)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Any, Any]:
        """Samples are independent, so one more axis of them is a larger batch."""
        found = _Losses.apply(*_folded(info, in_dims, inputs))  # type: ignore[no-untyped-call]
        return _unfolded(info, found), (0,) * len(found)


class _Gradient(torch.autograd.Function):
    """The gradient as a function of what came from above and of the student's maps."""

    @staticmethod
    def forward(
        upstream: Tensor,
        teacher: Tensor,
        student: Tensor,
        mask: Tensor | None,
        options: Options,
        plain: Plain,
        compiling: bool,
        *state: Tensor,
    ) -> Tensor:
        maps = _maps(teacher, student, mask, options)
        if _is_one_operation(options, compiling=compiling):
            found: Tensor = _gradient_operation(
                upstream, teacher, student, mask, *options, list(state)
            )
            return found
        if compiling:
            return traced_gradient(maps, options, State(*state), upstream)
        return gradient(maps, options, State(*state), upstream)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        upstream, teacher, student, mask, _, ctx.plain, _, *state = inputs
        ctx.state = len(state)
        ctx.save_for_backward(upstream, teacher, student, mask)
        ctx.save_for_forward(upstream, teacher, student, mask)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        first, teacher, student, mask = ctx.saved_tensors
        function = _plain_gradient(ctx.plain, teacher, mask)
        of_first, of_student = torch.func.vjp(function, first, student)[1](upstream)
        return of_first, None, of_student, *[None] * (4 + ctx.state)

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:
        first, teacher, student, mask = ctx.saved_tensors
        given = [
            torch.zeros_like(one) if tangent is None else tangent
            for one, tangent in zip((first, student), (tangents[0], tangents[2]), strict=True)
        ]
        function = _plain_gradient(ctx.plain, teacher, mask)
        found: Tensor = torch.func.jvp(function, (first, student), tuple(given))[1]
        return found

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Tensor, int]:
        found = _Gradient.apply(*_folded(info, in_dims, inputs))  # type: ignore[no-untyped-call]
        return _unfolded(info, (found,))[0], 0


for _function in (_Losses.forward, _Gradient.forward):
    # ``apply`` asks for it at every call, and takes a tenth of a millisecond to find it.
    setattr(_function, "__signature__", inspect.signature(_function))  # noqa: B010


def _gradient(upstream: Tensor, saved: tuple[Any, ...], ctx: Any) -> Tensor:
    teacher, student, mask, *state = saved
    found: Tensor = _Gradient.apply(  # type: ignore[no-untyped-call]
        upstream, teacher, student, mask, ctx.options, ctx.plain, ctx.compiling, *state
    )
    return found


def _plain_gradient(
    plain: Plain, teacher: Tensor, mask: Tensor | None
) -> Callable[[Tensor, Tensor], Tensor]:
    def found(upstream: Tensor, student: Tensor) -> Tensor:
        pulled = torch.func.vjp(lambda maps: plain(teacher, maps, mask), student)[1](upstream)
        by_student: Tensor = pulled[0]
        return by_student

    return found


def _is_one_operation(options: Options, *, compiling: bool) -> bool:
    """Whether a graph is not to look into it: nothing to fuse, or values to look at."""
    return compiling and (options.variant == "mse" or options.check)


def _maps(teacher: Tensor, student: Tensor, mask: Tensor | None, options: Options) -> Maps:
    return Maps(teacher.detach(), student.detach(), mask, by_row=options.variant == "token")


def _folded(info: Any, in_dims: tuple[Any, ...], inputs: tuple[Any, ...]) -> list[Any]:
    """The axis that ``vmap`` adds, joined with the batch, which every tensor has first."""
    folded = []
    for one, axis in zip(inputs, in_dims, strict=True):
        if isinstance(one, Tensor):
            by_call = (
                one.expand(info.batch_size, *one.shape) if axis is None else one.movedim(axis, 0)
            )
            one = by_call.flatten(0, 1)
        folded.append(one)
    return folded


def _unfolded(info: Any, found: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    size: int = info.batch_size
    return tuple(one.view(size, len(one) // size, *one.shape[1:]) for one in found)


@torch.library.custom_op("amad_torch::losses_from_maps", mutates_args=())
def _losses_operation(
    teacher: Tensor,
    student: Tensor,
    mask: Tensor | None,
    variant: str,
    temperature: float,
    eps: float,
    check: bool,
    derivative: bool,
) -> list[Tensor]:
    options = Options(variant, temperature, eps, check)
    found, state = losses(_maps(teacher, student, mask, options), options, derivative=derivative)
    return [one.contiguous() for one in (found, *state)]


@_losses_operation.register_fake
def _(
    teacher: Tensor,
    student: Tensor,
    mask: Tensor | None,
    variant: str,
    temperature: float,
    eps: float,
    check: bool,
    derivative: bool,
) -> list[Tensor]:
    maps = Maps(teacher, student, mask, by_row=variant == "token")
    shapes = state_shapes(maps, variant)
    return [student.new_empty(shape, dtype=maps.dtype) for shape in (maps.vectors[:1], *shapes)]


@torch.library.custom_op("amad_torch::gradient_from_maps", mutates_args=())
def _gradient_operation(
    upstream: Tensor,
    teacher: Tensor,
    student: Tensor,
    mask: Tensor | None,
    variant: str,
    temperature: float,
    eps: float,
    check: bool,
    state: list[Tensor],
) -> Tensor:
    options = Options(variant, temperature, eps, check)
    return gradient(_maps(teacher, student, mask, options), options, State(*state), upstream)


@_gradient_operation.register_fake
def _(
    upstream: Tensor,
    teacher: Tensor,
    student: Tensor,
    mask: Tensor | None,
    variant: str,
    temperature: float,
    eps: float,
    check: bool,
    state: list[Tensor],
) -> Tensor:
    return torch.empty_like(student, memory_format=torch.contiguous_format)
