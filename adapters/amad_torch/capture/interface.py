"""Transformers' attention interface: every model that asks it for its attention is seen there.

What the interface hands out still runs, whatever it is: SDPA, flash, flex or the model's own eager
function. Private to Transformers is nothing of it: ``AttentionInterface.get_interface`` is where
each model asks, once a layer.
"""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from amad_torch.capture.layer_attention import both_biases, causal_mask, mask_and_bias
from amad_torch.streaming.queries_keys import QueriesKeys

Record = Callable[
    [nn.Module, Callable[[], QueriesKeys], tuple[Tensor, Tensor, Tensor]],
    AbstractContextManager[Callable[[Any], None]],
]


@contextmanager
def interface_watched(record: Record) -> Iterator[None]:
    """Tell ``record`` of every attention that goes through the interface, until the block ends.

    ``record`` gives a block in which the attention itself runs: what is seen there is seen already.
    It is told the attention's output, ``[B, Q, H, d]``.
    """
    modeling = sys.modules.get("transformers.modeling_utils")
    interface: Any = getattr(modeling, "AttentionInterface", None)
    if interface is None:
        yield
        return
    original = interface.get_interface

    def get_interface(self: Any, implementation: str, default: Callable[..., Any]) -> Any:
        function = original(self, implementation, default)
        eager = function is default

        def attend(
            module: nn.Module, query: Tensor, key: Tensor, value: Tensor, *others: Any, **named: Any
        ) -> Any:
            given = _Given(module, query, key, others, named, eager)
            with record(module, given.read, (query, key, value)) as gave:
                output = function(module, query, key, value, *others, **named)
                gave(output[0] if isinstance(output, tuple) else output)
            return output

        return attend

    interface.get_interface = get_interface
    try:
        yield
    finally:
        interface.get_interface = original


Call = tuple[nn.Module, Tensor, Tensor, Tensor, tuple[Any, ...], dict[str, Any]]


@contextmanager
def compiled_interface_watched(calls: list[Call]) -> Iterator[None]:
    """Collect every attention that a compiled model asks the interface for.

    A compiled graph is traced anew where the table of attention functions has changed, and then
    hands out queries and keys beside its results; that is all that can be told from inside it.
    """
    modeling = sys.modules.get("transformers.modeling_utils")
    interface: Any = getattr(modeling, "AttentionInterface", None)
    if interface is None:
        yield
        return
    table = interface._global_mapping
    originals = dict(table)

    def collecting(function: Callable[..., Any]) -> Callable[..., Any]:
        def attend(
            module: nn.Module, query: Tensor, key: Tensor, value: Tensor, *others: Any, **named: Any
        ) -> Any:
            calls.append((module, query, key, value, others, named))
            return function(module, query, key, value, *others, **named)

        return attend

    table.update({name: collecting(function) for name, function in originals.items()})
    try:
        yield
    finally:
        table.clear()
        table.update(originals)


def read_call(call: Call) -> Callable[[], QueriesKeys]:
    """What the maps of a collected call follow from."""
    module, query, key, _, others, named = call
    return _Given(module, query, key, others, named, eager=False).read


class _Given:
    """The arguments of one call of an attention function of Transformers."""

    def __init__(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        others: tuple[Any, ...],
        named: dict[str, Any],
        eager: bool,
    ) -> None:
        self.query, self.key = query, key
        self.eager = eager
        by_position = others[0] if others else None
        self.attention_mask = named.get("attention_mask", by_position)
        self.scaling, self.softcap = named.get("scaling"), named.get("softcap")
        self.position_bias, self.sinks = named.get("position_bias"), named.get("s_aux")
        self.sliding_window = named.get("sliding_window")
        is_causal = named.get("is_causal")
        self.is_causal = getattr(module, "is_causal", True) if is_causal is None else is_causal

    def read(self) -> QueriesKeys:
        """What the maps follow from."""
        mask, bias, fill = self._mask_and_bias()
        bias = both_biases(bias, self.position_bias)
        keys = self.key.shape[2]
        scale = self.query.shape[-1] ** -0.5 if self.scaling is None else float(self.scaling)
        return QueriesKeys(
            self.query,
            self.key,
            scale,
            None if mask is None else mask[..., :keys],
            None if bias is None else bias[..., :keys],
            self.softcap,
            self.sinks,
            fill,
        )

    def _mask_and_bias(self) -> tuple[Tensor | None, Tensor | None, float]:
        given = self.attention_mask
        queries, keys, device = self.query.shape[2], self.key.shape[2], self.query.device
        if given is None:
            if self.eager or not self.is_causal or queries == 1:
                return None, None, -math.inf
            return self._windowed(causal_mask(queries, keys, device)), None, -math.inf
        if hasattr(given, "mask_mod"):  # flex attention's BlockMask
            from torch.nn.attention.flex_attention import create_mask

            batch, heads = self.query.shape[:2]
            mask = create_mask(given.mask_mod, batch, heads, queries, keys, device=str(device))
            return mask, None, -math.inf
        if given.dim() == 2:  # flash attention: real tokens, and the order apart
            mask = given.bool()[:, None, None, -keys:]
            if self.is_causal and queries > 1:
                order = causal_mask(queries, keys, device, offset=keys - queries)
                mask = mask & self._windowed(order)
            return mask, None, -math.inf
        return mask_and_bias(given)

    def _windowed(self, order: Tensor) -> Tensor:
        if not self.sliding_window:
            return order
        queries, keys = order.shape[-2:]
        return order & ~torch.ones_like(order).tril(keys - queries - int(self.sliding_window))
