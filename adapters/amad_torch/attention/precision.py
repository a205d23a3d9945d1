"""Precision: keeps autocast from taking the loss's products in half precision, backwards too."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from amad_torch.attention.opaque import node
from amad_torch.attention.signatures import with_known_signature


def full_precision(tensor: object) -> AbstractContextManager[object]:
    """A context without autocast on the tensor's device; an empty one where it is not on."""
    if isinstance(tensor, Tensor):
        device = tensor.device.type
        if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
            return torch.autocast(device, enabled=False)
    return nullcontext()


def product(left: Tensor, right: Tensor) -> Tensor:
    """``left @ right`` of equal batch axes, in full precision forwards and backwards.

    The context that a loss is computed in is gone when its derivatives are: ``backward()`` inside
    autocast would take their products in half precision.
    """
    if torch.compiler.is_compiling():
        import amad_torch.attention.opaque_in_graphs  # noqa: F401
    found: Tensor = _product(left, right)
    return found


# What Dynamo makes of such a function by itself loses its second derivative without a word.
@node
def _product(left: Tensor, right: Tensor) -> Any:
    return _Product.apply(left, right)  # type: ignore[no-untyped-call]


@with_known_signature
class _Product(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(left: Tensor, right: Tensor) -> Tensor:
        with full_precision(left):
            return left @ right

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        left, right = ctx.saved_tensors
        return (
            product(gradient, right.mT) if ctx.needs_input_grad[0] else None,
            product(left.mT, gradient) if ctx.needs_input_grad[1] else None,
        )

    @staticmethod
    def jvp(ctx: Any, left_tangent: Tensor, right_tangent: Tensor) -> Tensor:
        left, right = ctx.saved_tensors
        return product(left_tangent, right) + product(left, right_tangent)
