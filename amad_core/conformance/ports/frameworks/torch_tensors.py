"""PyTorch, through autograd."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from amad_core.conformance.ports.frameworks import RawAnswer, Request


class Torch:
    """Tensors on the CPU."""

    name = "torch"
    mutable = True
    dtypes = ("float64", "float32", "bfloat16", "float16")

    @property
    def version(self) -> str:
        """PyTorch's version."""
        return f"torch {torch.__version__}"

    def prepare(self) -> None:
        """Nothing to set up."""

    def tensor(self, array: NDArray[Any], dtype: str) -> Any:
        """A copy."""
        return torch.tensor(np.asarray(array)).to(getattr(torch, dtype))

    def array(self, tensor: Any) -> NDArray[Any]:
        """Floating point as float64, all else as it is."""
        if not isinstance(tensor, torch.Tensor):
            return np.asarray(tensor)
        plain = tensor.detach().cpu()
        return np.array((plain.double() if plain.is_floating_point() else plain).numpy())

    def dtype(self, tensor: Any) -> str:
        """The dtype's name; empty for plain numbers."""
        return str(tensor.dtype).removeprefix("torch.") if isinstance(tensor, torch.Tensor) else ""

    def evaluate(self, request: Request) -> RawAnswer:
        """The loss alone."""
        return RawAnswer(request.run())

    def differentiate(self, request: Request) -> RawAnswer:
        """Gradients by ``torch.autograd.grad``.

        The port gets results of an operation, not leaves, as a model's maps are: a change in place
        is then seen as such, and is no error of autograd.
        """
        leaves = [maps.requires_grad_() for maps in (request.teacher, request.student)]
        loss = request.call(leaves[0] * 1, leaves[1] * 1, request.others)
        if not isinstance(loss, torch.Tensor) or not loss.requires_grad:
            return RawAnswer(
                loss,
                no_gradient="the loss is cut off from its inputs "
                "(a plain number, .item(), .detach(), torch.no_grad(), or a pass through NumPy)",
            )
        try:
            teachers, students = torch.autograd.grad(loss.sum(), leaves, allow_unused=True)
        except RuntimeError as error:
            return RawAnswer(loss, no_gradient=f"the backward pass raised: {error}")
        leaked = (
            np.zeros(tuple(request.teacher.shape)) if teachers is None else self.array(teachers)
        )
        if students is None:
            cut = "the loss does not depend on the student's maps"
            return RawAnswer(loss, grad_teacher=leaked, no_gradient=cut)
        return RawAnswer(loss, self.array(students), leaked)


FRAMEWORK = Torch()
