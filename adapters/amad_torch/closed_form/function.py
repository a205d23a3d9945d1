"""The closed form as a function that autograd, ``torch.func`` and ``torch.compile`` know.

The first derivative is the closed form's. Those beyond it are taken of the readable form, which is
handed in as ``plain``: correct, and as slow and large as that is. Guarded by
tests/adapters/test_torch_autograd.py and test_torch_compile.py.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from amad_torch.attention.signatures import with_known_signature
from amad_torch.closed_form.gradients import gradient
from amad_torch.closed_form.losses import Options, State, losses, state_shapes
from amad_torch.closed_form.sums import Maps
from amad_torch.closed_form.traced import traced_gradient, traced_losses

Plain = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Teacher, student and mask to one loss a sample, in operations that torch differentiates."""

_FUSED = 2**20
"""Of larger maps on a CPU tiles cost less than the loops that a compiler makes."""


class Call(NamedTuple):
    """What is no tensor in one evaluation.

    Attributes:
        options: those of the loss.
        plain: its readable form.
        compiling: whether a graph is being traced.
        derivative: whether one may be asked for.
    """

    options: Options
    plain: Plain
    compiling: bool
    derivative: bool

    def is_one_operation(self, teacher: Tensor, student: Tensor) -> bool:
        """Whether a graph is not to look into it: little to fuse, or values to look at."""
        options = self.options
        large = student.device.type == "cpu" and teacher.numel() + student.numel() > _FUSED
        return self.compiling and (options.variant == "mse" or options.check or large)


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

    ``compiling``: for a graph that is being traced, as one operation that is not looked into, or
    in a form that compilers like.
    """
    # A forward mode does not ask whether gradients are enabled.
    derivative = torch.autograd.forward_ad._current_level >= 0 or (
        torch.is_grad_enabled()
        and (student.requires_grad or torch._C._are_functorch_transforms_active())
    )
    call = Call(options, plain, compiling, derivative)
    found: tuple[Tensor, ...] = _Losses.apply(  # type: ignore[no-untyped-call]
        teacher.detach(), student, mask, call
    )
    return found[0]


@with_known_signature
class _Losses(torch.autograd.Function):
    """``[B]`` and the tensors of a ``State``, which have no derivative of their own."""

    @staticmethod
    def forward(
        teacher: Tensor, student: Tensor, mask: Tensor | None, call: Call
    ) -> tuple[Tensor, ...]:
        if call.is_one_operation(teacher, student):
            return tuple(_losses_operation(teacher, student, mask, *call.options, call.derivative))
        maps = _maps(teacher, student, mask, call.options)
        if call.compiling:
            found, state = traced_losses(maps, call.options)
        else:
            found, state = losses(maps, call.options, derivative=call.derivative)
        return found, *state.tensors

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        *given, ctx.call = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*given, *output[1:])
        ctx.save_for_forward(*given, *output[1:])

    @staticmethod
    def backward(ctx: Any, upstream: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
        if upstream is None or not ctx.needs_input_grad[1]:
            return None, None, None, None
        # What `is_grads_batched` hands in knows few operations, but a product is one of them.
        batched = torch._C._functorch.is_legacy_batchedtensor(upstream)
        given = _ones(ctx) if batched else upstream, *ctx.saved_tensors
        if torch.is_grad_enabled() or torch._C._are_functorch_transforms_active():
            found = _Gradient.apply(ctx.call, *given)  # type: ignore[no-untyped-call]
        else:
            found = _Gradient.forward(ctx.call, *given)
        if batched:
            found = found * upstream.reshape(-1, 1, 1, 1).to(found.dtype)
        return None, found, None, None

    @staticmethod
    def jvp(ctx: Any, _: Tensor | None, tangent: Tensor | None, *__: None) -> tuple[Any, ...]:
        saved, ones = ctx.saved_tensors, _ones(ctx)
        assert tangent is not None
        found = _Gradient.apply(ctx.call, ones, *saved)  # type: ignore[no-untyped-call]
        by_student = found.to(ones.dtype)
        return (by_student * tangent).flatten(1).sum(dim=1), *[None] * (len(saved) - 3)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Any, Any]:
        """Samples are independent, so one more axis of them is a larger batch."""
        found = _Losses.apply(*_folded(info, in_dims, inputs))  # type: ignore[no-untyped-call]
        return _unfolded(info, found), (0,) * len(found)


def _ones(ctx: Any) -> Tensor:
    """One a sample, as what comes from above."""
    saved = ctx.saved_tensors
    return torch.ones_like(saved[1][:, 0, 0, 0], dtype=saved[-1].dtype)


@with_known_signature
class _Gradient(torch.autograd.Function):
    """The gradient as a function of what came from above and of the student's maps."""

    @staticmethod
    def forward(
        call: Call,
        upstream: Tensor,
        teacher: Tensor,
        student: Tensor,
        mask: Tensor | None,
        *state: Tensor,
    ) -> Tensor:
        if call.is_one_operation(teacher, student):
            found: Tensor = _gradient_operation(
                teacher, student, mask, *call.options, upstream, list(state)
            )
            return found
        maps = _maps(teacher, student, mask, call.options)
        form = traced_gradient if call.compiling else gradient
        return form(maps, call.options, State(*state), upstream)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.plain, ctx.inputs = inputs[0].plain, len(inputs)
        ctx.save_for_backward(*inputs[1:5])
        ctx.save_for_forward(*inputs[1:5])

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        first, teacher, student, mask = ctx.saved_tensors
        function = _plain_gradient(ctx.plain, teacher, mask)
        of_first, of_student = torch.func.vjp(function, first, student)[1](upstream)
        return None, of_first, None, of_student, *[None] * (ctx.inputs - 4)

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:
        first, teacher, student, mask = ctx.saved_tensors
        # A tangent is laid out as its tensor is, and cannot be where that was expanded.
        first, student = first.contiguous(), student.contiguous()
        given = [
            torch.zeros_like(one) if tangent is None else tangent
            for one, tangent in zip((first, student), (tangents[1], tangents[3]), strict=True)
        ]
        function = _plain_gradient(ctx.plain, teacher, mask)
        found: Tensor = torch.func.jvp(function, (first, student), tuple(given))[1]
        return found

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Tensor, int]:
        found = _Gradient.apply(*_folded(info, in_dims, inputs))  # type: ignore[no-untyped-call]
        return _unfolded(info, (found,))[0], 0


def _plain_gradient(
    plain: Plain, teacher: Tensor, mask: Tensor | None
) -> Callable[[Tensor, Tensor], Tensor]:
    def found(upstream: Tensor, student: Tensor) -> Tensor:
        pulled = torch.func.vjp(lambda maps: plain(teacher, maps, mask), student)[1](upstream)
        by_student: Tensor = pulled[0]
        return by_student

    return found


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


_PROBLEM = (
    "Tensor teacher, Tensor student, Tensor? mask, "
    "str variant, float temperature, float eps, bool check"
)


def _problem(
    teacher: Tensor, student: Tensor, mask: Tensor | None, *options: Any
) -> tuple[Maps, Options]:
    return _maps(teacher, student, mask, Options(*options)), Options(*options)


@torch.library.custom_op(
    "amad_torch::losses_from_maps",
    mutates_args=(),
    schema=f"({_PROBLEM}, bool derivative) -> Tensor[]",
)
def _losses_operation(*given: Any) -> list[Tensor]:
    *problem, derivative = given
    found, state = losses(*_problem(*problem), derivative=derivative)
    return [one.contiguous() for one in (found, *state.tensors)]


@_losses_operation.register_fake
def _(*given: Any) -> list[Tensor]:
    maps, options = _problem(*given[:-1])
    shapes = state_shapes(maps, options.variant)
    new = maps.student.new_empty
    return [new(shape, dtype=maps.dtype) for shape in (maps.vectors[:1], *shapes)]


@torch.library.custom_op(
    "amad_torch::gradient_from_maps",
    mutates_args=(),
    schema=f"({_PROBLEM}, Tensor upstream, Tensor[] state) -> Tensor",
)
def _gradient_operation(*given: Any) -> Tensor:
    *problem, upstream, state = given
    return gradient(*_problem(*problem), State(*state), upstream)


@_gradient_operation.register_fake
def _(*given: Any) -> Tensor:
    return torch.empty_like(given[1], memory_format=torch.contiguous_format)
