"""PyTorch, through autograd."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from amad_core.conformance.ports.frameworks import Call, RawAnswer, Tensors


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

    def evaluate(self, port: Call, tensors: Tensors) -> RawAnswer:
        """The loss alone."""
        return RawAnswer(port(tensors))

    def differentiate(self, port: Call, tensors: Tensors) -> RawAnswer:
        """Gradients by ``torch.autograd.grad``.

        The port gets results of an operation, not leaves, as a model's maps are: a change in place
        is then seen as such, and is no error of autograd.
        """
        maps = [tensors["teacher"], tensors["student"]]
        leaves = [one.clone().requires_grad_() for one in maps]
        for one, leaf in zip(maps, leaves, strict=True):
            one.copy_(leaf)
        loss = port(tensors)
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
        leaked = np.zeros(tuple(leaves[0].shape)) if teachers is None else self.array(teachers)
        if students is None:
            cut = "the loss does not depend on the student's maps"
            return RawAnswer(loss, grad_teacher=leaked, no_gradient=cut)
        return RawAnswer(loss, self.array(students), leaked)


FRAMEWORK = Torch()
