"""Attention written by hand: SDPA, or a softmax of scores that meets a product.

A function mode sees every function of PyTorch that the model calls. Scores are followed from the
product of queries and keys over scaling, biases and masks to the softmax, and probabilities from
there over dropout and casts to the product with the values: only what meets such a product is
attention.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from amad_torch.capture.following import Followed
from amad_torch.capture.layer_attention import (
    LayerAttention,
    causal_mask,
    mask_and_bias,
)
from amad_torch.capture.projection import Heads, follow_heads, heads_through, meets_projection
from amad_torch.capture.scores import Scores, product_of, through
from amad_torch.capture.values import Axes, axes_after, values_in
from amad_torch.streaming.queries_keys import QueriesKeys

_SDPA = functional.scaled_dot_product_attention
_PRODUCTS = {"matmul", "bmm", "__matmul__", "__rmatmul__", "einsum", "baddbmm"}
_SOFTMAX = {"softmax", "_softmax"}
_OF_PROBABILITIES = {
    "to", "type_as", "type", "float", "half", "bfloat16", "dropout", "dropout_", "contiguous",
    "view", "reshape", "masked_fill", "mul", "__mul__", "nan_to_num", "expand", "clone",
    "__getitem__", "squeeze", "unsqueeze", "flatten", "unflatten", "where",
    "permute", "transpose", "linear", "conv2d", "batch_norm",
}  # fmt: skip
"""What may happen to probabilities before they meet the values; talking heads mix them."""


class _Probabilities(NamedTuple):
    maps: Tensor
    scores: Scores | None
    sources: tuple[int, ...]
    axes: Axes | None


class Told(Protocol):
    """Who is told of attention; each answers with the layer, ``None`` where it is not wanted."""

    def from_sdpa(
        self, read: Callable[[], QueriesKeys], queries: Tensor, keys: Tensor, values: Tensor
    ) -> LayerAttention | None: ...

    def from_softmax(
        self, maps: Tensor, scores: Scores | None, sources: tuple[int, ...], values: Tensor | None
    ) -> LayerAttention | None: ...

    def is_routed(self) -> bool: ...

    def sources(self) -> tuple[int, ...]: ...


class FunctionMode(TorchFunctionMode):
    """Tells of attention that is computed by functions of PyTorch."""

    def __init__(self, told: Told, followed: Followed) -> None:
        super().__init__()
        self._told, self._followed = told, followed

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if self._told.is_routed():
            return func(*args, **kwargs)
        if func is _SDPA:
            return self._sdpa(args, kwargs)
        name = getattr(func, "__name__", "")
        if name in _PRODUCTS:
            return self._product(name, func, args, kwargs)
        if name in _SOFTMAX:
            return self._softmax(func, args, kwargs)
        output = func(*args, **kwargs)
        if self._followed and isinstance(output, Tensor):
            self._follow(name, output, args, kwargs)
        return output

    def _sdpa(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale")
        given = dict(zip(names, args, strict=False)) | kwargs
        queries, keys, values = given["query"], given["key"], given["value"]

        def read() -> QueriesKeys:
            four = [of_four_axes(one) for one in (queries, keys)]
            mask, bias, fill = mask_and_bias(given.get("attn_mask"))
            if given.get("is_causal"):
                mask = causal_mask(queries.shape[-2], keys.shape[-2], queries.device)
            scale = given.get("scale")
            scale = queries.shape[-1] ** -0.5 if scale is None else float(scale)
            return QueriesKeys(four[0], four[1], scale, mask, bias, in_empty_rows=fill)

        layer = self._told.from_sdpa(read, queries, keys, values)
        output = _SDPA(*args, **kwargs)
        follow_heads(self._followed, output, layer, queries.shape[1] if queries.dim() == 4 else 1)
        return output

    def _product(self, name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        output = func(*args, **kwargs)
        factors = [one for one in _tensors(args) if one.dim() >= 3]
        for factor in factors:
            known = self._followed.known(factor)
            if isinstance(known, _Probabilities):
                self._meets_values(known, values_in(name, factor, known.axes, args), output)
                self._followed.forget(factor)
                return output
            if isinstance(known, Heads) and meets_projection(known, factor, name, args, kwargs):
                return output
        scores = product_of(name, args, kwargs) if len(factors) >= 2 else None
        if scores is not None and isinstance(output, Tensor):
            self._followed.remember(output, scores)
        return output

    def _meets_values(self, known: _Probabilities, values: Tensor | None, output: Any) -> None:
        layer = self._told.from_softmax(known.maps, known.scores, known.sources, values)
        if layer is not None:
            follow_heads(self._followed, output, layer, layer.shape[1])

    def _softmax(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        output = func(*args, **kwargs)
        given = args[0] if args else kwargs.get("input")
        dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
        last = dim in (-1, output.dim() - 1)
        scores = self._followed.known(given) if isinstance(given, Tensor) else None
        scores = scores if isinstance(scores, Scores) else None
        if last and (output.dim() == 4 or (output.dim() == 3 and scores is not None)):
            axes = tuple(range(output.dim()))
            known = _Probabilities(output, scores, self._told.sources(), axes)
            self._followed.remember(output, known)
        return output

    def _follow(
        self, name: str, output: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        for tensor in _tensors(args):
            known = self._followed.known(tensor)
            further: Any = None
            if isinstance(known, Scores):
                further = through(known, tensor, name, output, args, kwargs)
            elif isinstance(known, Heads):
                if not meets_projection(known, tensor, name, args, kwargs):
                    further = heads_through(known, tensor, name, output)
            elif isinstance(known, _Probabilities) and name in _OF_PROBABILITIES:
                axes = axes_after(known.axes, name, tensor, output, args, kwargs)
                # Where the column of an attention sink is cut off, what is left are the maps.
                cut = name == "__getitem__" and output.shape[:-1] == known.maps.shape[:-1]
                further = known._replace(maps=output if cut else known.maps, axes=axes)
            else:
                continue
            if further is not None:
                self._followed.remember(output, further)
            return


def of_four_axes(one: Tensor) -> Tensor:
    """``[B, H, L, d]``, also of what has no axis of heads."""
    return one if one.dim() == 4 else one.reshape(-1, 1, *one.shape[-2:])


def _tensors(args: tuple[Any, ...]) -> list[Tensor]:
    found = []
    for one in args:
        if isinstance(one, Tensor):
            found.append(one)
        elif isinstance(one, tuple | list):
            found += [part for part in one if isinstance(part, Tensor)]
    return found
