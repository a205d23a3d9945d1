"""Attention written by hand: SDPA, or a softmax of scores that meets a product.

A function mode sees every function of PyTorch that the model calls. Scores are followed from the
product of queries and keys over scaling, biases and masks to the softmax, and probabilities from
there over dropout and casts to the product with the values: only what meets such a product is
attention.
"""

from collections.abc import Callable
from typing import Any
from weakref import ref

from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from amad_torch.capture.layer_attention import Attended, causal_mask, mask_and_bias
from amad_torch.capture.scores import Scores, product_of, through

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

SeenAttended = Callable[[Callable[[], Attended], tuple[Tensor, Tensor]], None]
SeenMaps = Callable[[Tensor, Scores | None, tuple[int, ...]], None]


class FunctionMode(TorchFunctionMode):
    """Tells of attention that is computed by functions of PyTorch."""

    def __init__(
        self,
        attended: SeenAttended,
        maps: SeenMaps,
        silent: Callable[[], bool],
        sources: Callable[[], tuple[int, ...]],
    ) -> None:
        super().__init__()
        self._attended, self._maps = attended, maps
        self._silent, self._sources = silent, sources
        self._followed: dict[int, tuple[Any, Any]] = {}

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if self._silent():
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
        queries, keys = given["query"], given["key"]

        def read() -> Attended:
            four = [
                one if one.dim() == 4 else one.reshape(-1, 1, *one.shape[-2:])
                for one in (queries, keys)
            ]
            mask, bias, fill = mask_and_bias(given.get("attn_mask"))
            if given.get("is_causal"):
                mask = causal_mask(queries.shape[-2], keys.shape[-2], queries.device)
            scale = given.get("scale")
            scale = queries.shape[-1] ** -0.5 if scale is None else float(scale)
            return Attended(four[0], four[1], scale, mask, bias, in_empty_rows=fill)

        self._attended(read, (queries, keys))
        return _SDPA(*args, **kwargs)

    def _product(self, name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        output = func(*args, **kwargs)
        factors = [one for one in _tensors(args) if one.dim() >= 3]
        for factor in factors:
            known = self._known(factor)
            if isinstance(known, _Probabilities):
                self._maps(known.maps, known.scores, known.sources)
                self._forget(factor)
                return output
        scores = product_of(name, args, kwargs) if len(factors) >= 2 else None
        if scores is not None and isinstance(output, Tensor):
            self._remember(output, scores)
        return output

    def _softmax(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        output = func(*args, **kwargs)
        given = args[0] if args else kwargs.get("input")
        dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
        last = dim in (-1, output.dim() - 1)
        scores = self._known(given) if isinstance(given, Tensor) else None
        scores = scores if isinstance(scores, Scores) else None
        if last and (output.dim() == 4 or (output.dim() == 3 and scores is not None)):
            self._remember(output, _Probabilities(output, scores, self._sources()))
        return output

    def _follow(
        self, name: str, output: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        for tensor in _tensors(args):
            known = self._known(tensor)
            if isinstance(known, Scores):
                scores = through(known, tensor, name, output, args, kwargs)
                if scores is not None:
                    self._remember(output, scores)
                return
            if isinstance(known, _Probabilities) and name in _OF_PROBABILITIES:
                maps = known.maps
                if name == "__getitem__" and output.shape[:-1] == maps.shape[:-1]:
                    maps = output  # the column of an attention sink is cut off
                self._remember(output, _Probabilities(maps, known.scores, known.sources))
                return

    def _remember(self, tensor: Tensor, what: Any) -> None:
        key, followed = id(tensor), self._followed
        followed[key] = (ref(tensor, lambda _: followed.pop(key, None)), what)

    def _forget(self, tensor: Tensor) -> None:
        self._followed.pop(id(tensor), None)

    def _known(self, tensor: Tensor) -> Any:
        found = self._followed.get(id(tensor))
        return found[1] if found is not None and found[0]() is tensor else None


class _Probabilities:
    def __init__(self, maps: Tensor, scores: Scores | None, sources: tuple[int, ...]) -> None:
        self.maps, self.scores, self.sources = maps, scores, sources


def _tensors(args: tuple[Any, ...]) -> list[Tensor]:
    found = []
    for one in args:
        if isinstance(one, Tensor):
            found.append(one)
        elif isinstance(one, tuple | list):
            found += [part for part in one if isinstance(part, Tensor)]
    return found
