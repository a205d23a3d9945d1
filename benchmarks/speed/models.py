"""Teachers and students of a training step, from configurations: nothing is downloaded.

``BLIP-like`` is what BLIP is made of, a vision transformer and a BERT that looks at the picture
through cross-attention, from transformers' classes that run fused attention (its ``Blip`` classes
compute maps in any case). ``GPT-2-like`` is GPT-2. The widths are those of the models that people
have; layers and words are few, so that a step takes seconds. No dropout.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import (
    BertConfig,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
    ViTConfig,
)

LAYERS, WORDS, WRITTEN, PATCH = 2, 1000, 32, 16
"""Of both models; ``WRITTEN``: tokens of a caption; ``PATCH`` pixels square."""

HEAD_WIDTH = {"usual": 64, "tiny": 4}

Batch = dict[str, Tensor]


def model_and_batch(
    name: str, heads: int, tokens: int, batch: int
) -> tuple[PreTrainedModel, Batch]:
    """A model with so many heads of the usual width, and what it is trained with."""
    torch.manual_seed(heads)
    width = heads * HEAD_WIDTH["tiny" if tokens < 64 else "usual"]
    return _MAKERS[name](width, heads, tokens, batch)


def attention(output: Any) -> list[tuple[Tensor, ...]]:
    """Maps of the layers, by kind: what a model gives that was asked for its attentions."""
    names = ("encoder_attentions", "decoder_attentions", "cross_attentions", "attentions")
    return [maps for name in names if (maps := getattr(output, name, None))]


def _blip(width: int, heads: int, tokens: int, batch: int) -> tuple[PreTrainedModel, Batch]:
    side = PATCH * round((tokens - 1) ** 0.5)
    common: dict[str, Any] = {
        "hidden_size": width, "num_attention_heads": heads, "num_hidden_layers": LAYERS,
        "intermediate_size": 4 * width, "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }  # fmt: skip
    encoder = ViTConfig(image_size=side, patch_size=PATCH, **common)
    decoder = BertConfig(
        vocab_size=WORDS, is_decoder=True, add_cross_attention=True, pad_token_id=0, **common
    )
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id, config.pad_token_id = 1, 0
    words = torch.randint(2, WORDS, (batch, WRITTEN))
    return VisionEncoderDecoderModel(config), {
        "pixel_values": torch.rand(batch, 3, side, side), "labels": words,
    }  # fmt: skip


def _gpt2(width: int, heads: int, tokens: int, batch: int) -> tuple[PreTrainedModel, Batch]:
    config = GPT2Config(
        vocab_size=WORDS, n_embd=width, n_layer=LAYERS, n_head=heads, n_positions=tokens,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    words = torch.randint(WORDS, (batch, tokens))
    return GPT2LMHeadModel(config), {"input_ids": words, "labels": words}


_MAKERS: dict[str, Callable[[int, int, int, int], tuple[PreTrainedModel, Batch]]] = {
    "BLIP-like": _blip,
    "GPT-2-like": _gpt2,
}
