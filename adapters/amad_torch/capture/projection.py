"""The output of an attention on its way to the linear layer that mixes the heads."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from amad_torch.capture.following import Followed
from amad_torch.capture.layer_attention import LayerAttention

_MOVED = {
    "transpose", "permute", "swapaxes", "movedim", "contiguous", "clone", "to", "type_as", "type",
    "float", "half", "bfloat16", "dropout", "squeeze", "unsqueeze",
}  # fmt: skip
_SHAPES = {"view", "reshape", "flatten", "_unsafe_view", "unflatten"}


class Heads(NamedTuple):
    """The heads of a layer, side by side in the last axis or not yet."""

    layer: LayerAttention
    heads: int
    joined: bool = False


def follow_heads(followed: Followed, output: Any, layer: LayerAttention | None, heads: int) -> None:
    """The output of an attention is followed from here on."""
    if layer is not None and isinstance(output, Tensor):
        followed.remember(output, Heads(layer, heads))


def heads_through(heads: Heads, tensor: Tensor, name: str, output: Tensor) -> Heads | None:
    """The same after a further function; ``None`` where it cannot be followed."""
    if name in _MOVED:
        return heads
    if name not in _SHAPES:
        return None
    if output.shape[-1:] == tensor.shape[-1:]:
        return heads
    width = tensor.shape[-2:].numel()
    if not heads.joined and tensor.shape[-2] == heads.heads and output.shape[-1] == width:
        return heads._replace(joined=True)
    return None


def meets_projection(
    heads: Heads, tensor: Tensor, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> bool:
    """Whether this function is a linear layer of joined heads, which the layer then knows."""
    weight = _weight(name, tensor, args, kwargs)
    if weight is None or not (heads.joined or heads.heads == 1):
        return False
    if weight.dim() == 2 and weight.shape[1] == tensor.shape[-1]:
        heads.layer.meets(weight)
    return True


def _weight(
    name: str, tensor: Tensor, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Tensor | None:
    """``[D, H d]`` of a linear layer, of ``addmm`` (GPT-2) and of a plain product."""
    place, transposed = {
        "linear": (1, False), "addmm": (2, True), "matmul": (1, True), "__matmul__": (1, True),
    }.get(name, (None, False))  # fmt: skip
    if place is None:
        return None
    found = args[place] if len(args) > place else kwargs.get("weight")
    if not isinstance(found, Tensor) or found is tensor or found.dim() != 2:
        return None
    return found.mT if transposed else found
