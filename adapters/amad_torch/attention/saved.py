"""What autograd cannot do: save what was made in inference mode, and two forward modes at once."""

import torch
from torch import Tensor
from torch._C._functorch import TransformType, get_interpreter_stack
from torch.utils.dlpack import from_dlpack


def kept_by_autograd(tensor: Tensor) -> Tensor:
    """The same memory as a tensor that autograd saves, which it refuses of inference mode's."""
    if torch.compiler.is_compiling() or torch.is_inference_mode_enabled():
        return tensor
    return from_dlpack(tensor) if tensor.is_inference() else tensor


def refuse_two_forward_modes() -> None:
    """Raise inside ``jvp`` of ``jvp``: to torch the inner one of a function is a constant."""
    if torch.compiler.is_compiling() or not torch._C._are_functorch_transforms_active():
        return
    modes = [one.key() for one in get_interpreter_stack() or ()]
    if modes.count(TransformType.Jvp) > 1:
        raise RuntimeError(
            "amad_loss cannot be differentiated twice in forward mode (jvp of jvp, jacfwd of "
            "jacfwd): take reverse mode for one of them, as torch.func.hessian does"
        )
