"""PyTorch's own attention modules, which may take a fast path that nothing else can see.

Their forward passes run as they do without us (a function mode on the stack would turn the fast
path off, and padded rows with it); what they attend to follows from their arguments and weights.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from amad_torch.capture.layer_attention import both_biases, both_masks, mask_and_bias
from amad_torch.streaming.queries_keys import QueriesKeys

Told = Callable[
    [nn.MultiheadAttention, Callable[[], QueriesKeys], Callable[[], Tensor], bool, str], None
]


@contextmanager
def torch_modules_watched(record: Told) -> Iterator[None]:
    """Tell ``record`` of every ``nn.MultiheadAttention`` that runs, until the block ends."""
    attention, layer = nn.MultiheadAttention, nn.TransformerEncoderLayer
    encoder = nn.TransformerEncoder
    originals: dict[Any, Any] = {owner: owner.forward for owner in (attention, layer, encoder)}
    seen: list[nn.Module] = []

    def attend(
        self: nn.MultiheadAttention, query: Any, key: Any, value: Any, *a: Any, **k: Any
    ) -> Any:
        with torch._C.DisableTorchFunction():
            output = originals[attention](self, query, key, value, *a, **k)
        names = (
            "key_padding_mask",
            "need_weights",
            "attn_mask",
            "average_attn_weights",
            "is_causal",
        )
        given = dict(zip(names, a, strict=False)) | k
        seen.append(self)
        record(
            self,
            lambda: attended_by(
                self, query, key, given.get("key_padding_mask"), given.get("attn_mask")
            ),
            lambda: values_of(self, value),
            _has_gradient(self, query, key),
            "self" if query is key else "cross",
        )
        return output

    def run_layer(self: nn.TransformerEncoderLayer, src: Tensor, *a: Any, **k: Any) -> Any:
        with torch._C.DisableTorchFunction():
            output = originals[layer](self, src, *a, **k)
        if not (seen and seen[-1] is self.self_attn):
            given = (
                dict(zip(("src_mask", "src_key_padding_mask", "is_causal"), a, strict=False)) | k
            )
            record(
                self.self_attn,
                lambda: _attended_by_layer(
                    self, src, given.get("src_key_padding_mask"), given.get("src_mask")
                ),
                lambda: values_of(self.self_attn, _given_by_layer(self, src)),
                False,
                "self",
            )
        seen.clear()
        return output

    def run_encoder(self: nn.TransformerEncoder, src: Tensor, *a: Any, **k: Any) -> Any:
        if any(type(one) is not nn.TransformerEncoderLayer for one in self.layers):
            return originals[encoder](self, src, *a, **k)
        with torch._C.DisableTorchFunction():
            return originals[encoder](self, src, *a, **k)

    replacements = zip(originals, (attend, run_layer, run_encoder), strict=True)
    for owner, replacement in replacements:
        owner.forward = replacement
    try:
        yield
    finally:
        for owner, original in originals.items():
            owner.forward = original


def values_of(module: nn.MultiheadAttention, value: Tensor) -> Tensor:
    """Values ``[B, H, K, d]`` of one call, from the module's projections."""
    if value.dim() == 2:
        value = value[None]
    elif not module.batch_first:
        value = value.transpose(0, 1)
    packed = module.in_proj_weight
    weight = module.v_proj_weight if packed is None else packed.chunk(3)[2]
    bias = None if module.in_proj_bias is None else module.in_proj_bias.chunk(3)[2]
    return _by_heads(module, functional.linear(value, weight, bias), module.bias_v)


def _by_heads(module: nn.MultiheadAttention, keys: Tensor, further: Tensor | None) -> Tensor:
    """``[B, H, K, d]`` of keys or values, with those that the module adds itself."""
    if further is not None:
        keys = torch.cat([keys, further.expand(keys.shape[0], 1, -1)], dim=1)
    if module.add_zero_attn:
        keys = torch.cat([keys, torch.zeros_like(keys[:, :1])], dim=1)
    return keys.reshape(*keys.shape[:2], module.num_heads, -1).transpose(1, 2)


def attended_by(
    module: nn.MultiheadAttention,
    query: Tensor,
    key: Tensor,
    key_padding_mask: Tensor | None,
    attn_mask: Tensor | None,
) -> QueriesKeys:
    """Queries, keys and mask of one call, from the module's projections."""
    if query.dim() == 2:
        query, key = query[None], key[None]
    elif not module.batch_first:
        query, key = query.transpose(0, 1), key.transpose(0, 1)
    if module.in_proj_weight is not None:
        query_weight, key_weight, _ = module.in_proj_weight.chunk(3)
    else:
        query_weight, key_weight = module.q_proj_weight, module.k_proj_weight
    biases = (None, None) if module.in_proj_bias is None else module.in_proj_bias.chunk(3)[:2]
    queries = functional.linear(query, query_weight, biases[0])
    keys = _by_heads(module, functional.linear(key, key_weight, biases[1]), module.bias_k)
    queries = queries.reshape(*queries.shape[:2], module.num_heads, -1).transpose(1, 2)
    mask, bias, fill = _masks(module, key_padding_mask, attn_mask, queries, keys)
    return QueriesKeys(queries, keys, module.head_dim**-0.5, mask, bias, in_empty_rows=fill)


def _attended_by_layer(
    layer: nn.TransformerEncoderLayer,
    src: Tensor,
    key_padding_mask: Tensor | None,
    attn_mask: Tensor | None,
) -> QueriesKeys:
    """The same of a layer whose fast path did without its attention module."""
    if src.is_nested:
        lengths = torch.tensor([one.shape[0] for one in src.unbind()], device=src.device)
        key_padding_mask = torch.arange(int(lengths.max()), device=src.device) >= lengths[:, None]
    given = _given_by_layer(layer, src)
    return attended_by(layer.self_attn, given, given, key_padding_mask, attn_mask)


def _given_by_layer(layer: nn.TransformerEncoderLayer, src: Tensor) -> Tensor:
    if src.is_nested:
        src = torch.nested.to_padded_tensor(src, 0.0)
    return layer.norm1(src) if layer.norm_first else src


def _masks(
    module: nn.MultiheadAttention,
    key_padding_mask: Tensor | None,
    attn_mask: Tensor | None,
    queries: Tensor,
    keys: Tensor,
) -> tuple[Tensor | None, Tensor | None, float]:
    """PyTorch's masks are true where a key is *not* seen."""
    parts = []
    if key_padding_mask is not None:
        parts.append(key_padding_mask.reshape(-1, 1, 1, key_padding_mask.shape[-1]))
    if attn_mask is not None:
        if attn_mask.dim() == 3:
            attn_mask = attn_mask.reshape(-1, module.num_heads, *attn_mask.shape[1:])
        parts.append(attn_mask)
    mask: Tensor | None = None
    bias: Tensor | None = None
    for part in parts:
        further = keys.shape[2] - part.shape[-1]
        if further:  # keys that the module adds itself are always seen
            part = functional.pad(part, (0, further))
        given = ~part if part.dtype == torch.bool else part
        its_mask, its_bias, _ = mask_and_bias(given)
        mask = both_masks(mask, its_mask)
        bias = both_biases(bias, its_bias)
    return mask, bias, -math.inf


def _has_gradient(module: nn.Module, *inputs: Tensor) -> bool:
    if not torch.is_grad_enabled():
        return False
    return any(one.requires_grad for one in (*inputs, *module.parameters()))
