"""The order of a model's heads: drawn anew, with outputs that stay what they were.

A trained teacher's heads stand in an order that nobody chose, and a method that pairs head i with
head i may be lucky in it. So every seed of the study draws its own.
"""

# mypy: allow-untyped-calls
# (some of what is called here has no annotations upstream)

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.bert.modeling_bert import BertAttention
from transformers.models.blip.modeling_blip import BlipAttention
from transformers.models.blip.modeling_blip_text import BlipTextAttention
from transformers.models.t5.modeling_t5 import T5Attention, T5Stack


def with_heads_in_order(model: nn.Module, seed: int) -> nn.Module:
    """A copy whose heads stand in an order drawn from a seed, layer by layer.

    Queries, keys and values of every head, and the columns of the output that it feeds, move
    together. The self-attention of a T5 stack has one order in all layers, as its layers share one
    position bias a head.

    Raises:
        ValueError: no attention that is known here (BERT, BLIP, T5).
    """
    random = torch.Generator().manual_seed(seed)
    model = copy.deepcopy(model)
    moved = 0
    for module in model.modules():
        if isinstance(module, BlipAttention):
            _move(module.num_heads, random, _thirds(module.qkv), [module.projection.weight])
        elif isinstance(module, BlipTextAttention | BertAttention):
            inner = module.self
            projections = [inner.query, inner.key, inner.value]
            given = [tensor for one in projections for tensor in (one.weight, one.bias)]
            _move(inner.num_attention_heads, random, given, [module.output.dense.weight])
        elif isinstance(module, T5Stack):
            blocks: Any = module.block
            order = torch.randperm(blocks[0].layer[0].SelfAttention.n_heads, generator=random)
            for block in blocks:
                _move_t5(block.layer[0].SelfAttention, order)
                if module.is_decoder:
                    _move_t5(
                        block.layer[1].EncDecAttention, torch.randperm(len(order), generator=random)
                    )
        else:
            continue
        moved += 1
    if not moved:
        raise ValueError(f"model has no attention that is known here: {type(model).__name__}")
    return model


def _thirds(qkv: nn.Linear) -> list[Tensor]:
    return [*qkv.weight.chunk(3), *qkv.bias.chunk(3)]


def _move(
    heads: int, random: torch.Generator, of_heads: Sequence[Tensor], out: Sequence[Tensor]
) -> None:
    _put(torch.randperm(heads, generator=random), of_heads, out)


def _move_t5(attention: T5Attention, order: Tensor) -> None:
    inputs = [attention.q.weight, attention.k.weight, attention.v.weight]
    _put(order, inputs, [attention.o.weight])
    if attention.has_relative_attention_bias:
        with torch.no_grad():
            bias = attention.relative_attention_bias.weight
            bias.copy_(bias[:, order].clone())


@torch.no_grad()
def _put(order: Tensor, of_heads: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    """Head `order[i]` becomes head i: along the first axis, and along the second of `out`."""
    for tensor in of_heads:
        by_head = tensor.view(len(order), -1)
        by_head.copy_(by_head[order].clone())
    for tensor in out:
        columns = tensor.view(tensor.shape[0], len(order), -1)
        columns.copy_(columns[:, order].clone())
