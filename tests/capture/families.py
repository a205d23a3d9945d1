"""Families of models, each from a small random configuration, and where their true maps come from.

The truth is what the model itself says under eager attention in eval mode, or a straightforward
computation by hand; never another capture.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

BATCH, LENGTH = 2, 7
IDS = torch.tensor([[5, 9, 14, 3, 22, 8, 31], [12, 4, 7, 30, 1, 1, 1]])
REAL = torch.tensor([[1] * 7, [1] * 4 + [0] * 3])
TEXT = {"input_ids": IDS, "attention_mask": REAL}
IMAGE = {"pixel_values": torch.linspace(-1, 1, BATCH * 3 * 32 * 32).reshape(BATCH, 3, 32, 32).sin()}

SIZES = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
}
VISION = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "image_size": 32,
    "patch_size": 8,
}
FSMT = {
    "vocab_size": 60,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 40,
    "decoder_ffn_dim": 40,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
}

ATTENTIONS = (
    "attentions",
    "encoder_attentions",
    "decoder_attentions",
    "cross_attentions",
    "vision_attentions",
)


@dataclass(frozen=True)
class Family:
    """A model to build, what to give it, and the kinds of its attentions in order.

    Attributes:
        make: builds the model under a seed.
        inputs: keyword arguments of its forward pass.
        kinds: first letters, ``"s"`` or ``"c"``, in the order of the calls.
        truth: true maps, of the model in eager attention and its inputs; ``None``: its own
            ``output_attentions``.
        compared: what they are, for the table in the documentation.
        implementation: the attention that the model runs with.
        padded_rows: compare the rows of padded queries too; not where SDPA gives rows that see
            nothing 0 and eager attention an even spread, as later layers build on them.
        package: that the model comes from, if it may not be importable here.
    """

    make: Callable[[], nn.Module]
    inputs: Mapping[str, Any]
    kinds: str
    truth: Callable[[nn.Module, Mapping[str, Any]], list[Tensor]] | None = None
    compared: str = "`output_attentions` of the eager model"
    implementation: str = "sdpa"
    padded_rows: bool = True
    package: str = "transformers"


def eager_truth(model: Any, inputs: Mapping[str, Any]) -> list[Tensor]:
    """What a Transformers model says it attends to."""
    model.set_attn_implementation("eager")
    output = model(**inputs, output_attentions=True)
    found = [getattr(output, name, None) or () for name in ATTENTIONS]
    return [maps for layers in found for maps in layers if maps is not None]


def _hf(model: str, config: str, settings: Mapping[str, Any]) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        import transformers

        built: nn.Module = getattr(transformers, model)(getattr(transformers, config)(**settings))
        return built

    return make


def _text(name: str, kinds: str = "ss", model: str = "Model", **settings: Any) -> Family:
    return Family(_hf(f"{name}{model}", f"{name}Config", SIZES | settings), TEXT, kinds)


def _vision(name: str, kinds: str = "ss", **settings: Any) -> Family:
    return Family(_hf(f"{name}Model", f"{name}Config", VISION | settings), IMAGE, kinds)


def _eager_only(family: Family, how: str = "eager") -> Family:
    return replace(family, implementation=how)


def _blip_vqa() -> nn.Module:
    from transformers import BlipConfig, BlipForQuestionAnswering

    text = SIZES | {"encoder_hidden_size": 32}
    return BlipForQuestionAnswering(BlipConfig(text_config=text, vision_config=VISION))


def _blip_truth(model: Any, inputs: Mapping[str, Any]) -> list[Tensor]:
    """Vision maps of its output; text maps by hooks on the softmax, as its output has none."""
    kept: list[Tensor] = []
    hooks = [
        module.softmax.register_forward_hook(lambda _, __, output: kept.append(output))
        for module in model.modules()
        if type(module).__name__ == "BlipTextSelfAttention" and hasattr(module, "softmax")
    ]
    output = model(**inputs, output_attentions=True)
    for hook in hooks:
        hook.remove()
    return [*output.attentions, *kept]


def _llava() -> nn.Module:
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
    )

    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**VISION),
        text_config=LlamaConfig(**SIZES, num_key_value_heads=2),
        image_token_index=59,
        vision_feature_layer=-1,
    )
    return LlavaForConditionalGeneration(config)


def _llava_inputs() -> Mapping[str, Any]:
    ids = torch.full((BATCH, 20), 59)
    ids[:, 16:] = IDS[:, :4]
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **IMAGE}


def _language_truth(model: Any, inputs: Mapping[str, Any]) -> list[Tensor]:
    """The language model's own maps; those of its vision tower are compared in its own family."""
    return eager_truth(model, inputs)


def _qwen_vl() -> nn.Module:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    text = SIZES | {
        "num_key_value_heads": 2,
        "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]},
    }
    vision = {"depth": 2, "hidden_size": 32, "num_heads": 4, "intermediate_size": 40,
              "out_hidden_size": 32, "fullatt_block_indexes": [1], "patch_size": 14}  # fmt: skip
    return Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(text_config=text, vision_config=vision)
    )


def _t5_embeddings() -> Mapping[str, Any]:
    embeddings = torch.linspace(-1, 1, BATCH * 5 * 32).reshape(BATCH, 5, 32).sin()
    return {"inputs_embeds": embeddings, "decoder_input_ids": IDS}


def _torch_encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(32, 4, 40, dropout=0.0, batch_first=True)
    return nn.TransformerEncoder(layer, 2)


def _torch_decoder() -> nn.Module:
    layer = nn.TransformerDecoderLayer(32, 4, 40, dropout=0.0, batch_first=True)
    return nn.TransformerDecoder(layer, 2)


def torch_truth(model: nn.Module, inputs: Mapping[str, Any]) -> list[Tensor]:
    """Weights that ``nn.MultiheadAttention`` returns when it is asked for them."""
    kept: list[Tensor] = []

    def asked(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return args, kwargs | {"need_weights": True, "average_attn_weights": False}

    def keep(module: nn.Module, args: Any, output: Any) -> None:
        kept.append(output[1])

    hooks = []
    for module in model.modules():
        if isinstance(module, nn.MultiheadAttention):
            hooks += [
                module.register_forward_pre_hook(asked, with_kwargs=True),
                module.register_forward_hook(keep),
            ]
    model.train()  # no fast path, and no dropout in these models
    model(**inputs)
    for hook in hooks:
        hook.remove()
    return kept


STATES = torch.linspace(-2, 2, BATCH * LENGTH * 32).reshape(BATCH, LENGTH, 32).sin()


class ByHand(nn.Module):
    """Attention written out with einsum, a window and dropout, as in many a training script."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(32, 32) for _ in range(3))
        self.dropout = nn.Dropout(0.5)
        self.maps: Tensor | None = None

    def forward(self, states: Tensor, others: Tensor | None = None) -> Tensor:
        others = states if others is None else others
        query, key, value = (
            layer(given).reshape(*given.shape[:2], 4, 8)
            for layer, given in (
                (self.query, states), (self.key, others), (self.value, others),
            )
        )  # fmt: skip
        scores = torch.einsum("bqhd,bkhd->bhqk", query, key) * 8**-0.5
        near = torch.ones(scores.shape[-2:], dtype=torch.bool).tril(1).triu(-2)
        self.maps = torch.softmax(scores.masked_fill(~near, -1e9), dim=-1)
        mixed = torch.einsum("bhqk,bkhd->bqhd", self.dropout(self.maps), value)
        return mixed.reshape(states.shape)


class Flat(nn.Module):
    """Heads folded into the batch, ``baddbmm`` with a bias, as in alibi models."""

    num_heads = 4

    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.Linear(32, 96)
        self.maps: Tensor | None = None

    def forward(self, states: Tensor) -> Tensor:
        query, key, value = (
            part.reshape(BATCH, LENGTH, 4, 8).transpose(1, 2).reshape(-1, LENGTH, 8)
            for part in self.projection(states).chunk(3, dim=-1)
        )
        slopes = 2.0 ** -torch.arange(1, 5).repeat(BATCH)
        bias = slopes[:, None, None] * torch.arange(LENGTH)
        scores = torch.baddbmm(bias, query, key.transpose(1, 2), alpha=8**-0.5)
        probabilities = scores.softmax(-1)
        self.maps = probabilities.reshape(BATCH, 4, LENGTH, LENGTH)
        mixed = torch.bmm(probabilities, value).reshape(BATCH, 4, LENGTH, 8)
        return mixed.transpose(1, 2).reshape(states.shape)


class TalkingHeads(nn.Module):
    """Probabilities of all heads are mixed before they meet the values; positions have a network
    of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.projection, self.talk = nn.Linear(32, 96), nn.Linear(4, 4)
        self.positions = nn.Linear(1, 4)
        self.register_buffer("distances", torch.arange(LENGTH)[:, None, None] * torch.ones(7, 1))
        self.maps: Tensor | None = None

    def forward(self, states: Tensor) -> Tensor:
        query, key, value = (
            part.reshape(BATCH, LENGTH, 4, 8).transpose(1, 2)
            for part in self.projection(states).chunk(3, dim=-1)
        )
        bias = self.positions(self.distances).permute(2, 0, 1)
        self.maps = torch.softmax(query @ key.mT / 8**0.5 + bias, dim=-1)
        mixed = self.talk(self.maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return (mixed @ value).transpose(1, 2).reshape(states.shape)


def _own_maps(model: Any, inputs: Mapping[str, Any]) -> list[Tensor]:
    model(**inputs)
    return [model.maps]


FAMILIES: dict[str, Family] = {
    "BERT": _text("Bert"),
    "BERT, eager": _eager_only(_text("Bert")),
    "RoBERTa": _text("Roberta", pad_token_id=1),
    "ELECTRA": _text("Electra", embedding_size=32),
    "DistilBERT": Family(
        _hf("DistilBertModel", "DistilBertConfig",
            {"vocab_size": 60, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 40}),
        TEXT, "ss",
    ),
    "ALBERT": _text("Albert", embedding_size=16),
    "CamemBERT": _text("Camembert", pad_token_id=1),
    "XLM-RoBERTa": _text("XLMRoberta", pad_token_id=1),
    "MPNet": _eager_only(_text("MPNet")),
    "DeBERTa v2": _eager_only(
        _text("DebertaV2", relative_attention=True, pos_att_type=["p2c", "c2p"])
    ),
    "DeBERTa": _eager_only(_text("Deberta", relative_attention=True, pos_att_type=["p2c", "c2p"])),
    "ModernBERT": replace(
        _text("ModernBert", "ssss", num_hidden_layers=4, local_attention=4, pad_token_id=1,
              bos_token_id=0, eos_token_id=2, cls_token_id=0, sep_token_id=2),
        padded_rows=False,
    ),
    "GPT-2": Family(
        _hf("GPT2LMHeadModel", "GPT2Config",
            {"vocab_size": 60, "n_embd": 32, "n_layer": 2, "n_head": 4}), TEXT, "ss",
    ),
    "GPT-Neo": _eager_only(Family(
        _hf("GPTNeoModel", "GPTNeoConfig",
            {"vocab_size": 60, "hidden_size": 32, "num_layers": 2, "num_heads": 4,
             "attention_types": [[["global", "local"], 1]], "intermediate_size": 40,
             "window_size": 4}), TEXT, "ss",
    )),
    "GPT-NeoX": _text("GPTNeoX"),
    "OPT": Family(
        _hf("OPTModel", "OPTConfig",
            {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2,
             "num_attention_heads": 4, "ffn_dim": 40, "word_embed_proj_dim": 32}), TEXT, "ss",
    ),
    "BLOOM": _eager_only(Family(
        _hf("BloomModel", "BloomConfig",
            {"vocab_size": 60, "hidden_size": 32, "n_layer": 2, "n_head": 4}), TEXT, "ss",
    )),
    "MPT": _eager_only(Family(
        _hf("MptModel", "MptConfig",
            {"vocab_size": 60, "d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 32}),
        TEXT, "ss",
    )),
    "Llama": _text("Llama", model="ForCausalLM", num_key_value_heads=2),
    "Llama, flex": _eager_only(
        _text("Llama", model="ForCausalLM", num_key_value_heads=2), "flex_attention"
    ),
    "Mistral": _text("Mistral", model="ForCausalLM", num_key_value_heads=2, sliding_window=3),
    "Mixtral": _text("Mixtral", num_key_value_heads=2, num_local_experts=2),
    "Qwen2": _text("Qwen2", model="ForCausalLM", num_key_value_heads=2),
    "Qwen3": _text("Qwen3", num_key_value_heads=2, head_dim=8),
    "Gemma": _text("Gemma", num_key_value_heads=2, head_dim=8),
    "Gemma 2, soft cap": _eager_only(
        _text("Gemma2", num_key_value_heads=2, head_dim=8, sliding_window=3)
    ),
    "Phi": _text("Phi"),
    "StableLM": _text("StableLm", num_key_value_heads=2),
    "Granite": _text("Granite", num_key_value_heads=2),
    "Cohere": _text("Cohere", num_key_value_heads=2),
    "OLMo": _text("Olmo"),
    "GPT-OSS, sinks": _eager_only(
        _text("GptOss", num_key_value_heads=2, head_dim=8, num_local_experts=4, sliding_window=4)
    ),
    "DeepSeek V3, narrow values": _text(
        "DeepseekV3", num_key_value_heads=4, q_lora_rank=8, kv_lora_rank=8, qk_rope_head_dim=4,
        qk_nope_head_dim=4, v_head_dim=4, n_routed_experts=4, n_group=2, topk_group=1,
        num_experts_per_tok=1, moe_intermediate_size=8, first_k_dense_replace=2,
    ),
    "Jamba, among state spaces": _text(
        "Jamba", num_key_value_heads=2, num_hidden_layers=4, attn_layer_period=2,
        attn_layer_offset=1, num_experts=2, use_mamba_kernels=False, mamba_d_state=4,
        mamba_dt_rank=4,
    ),
    "XLNet": _eager_only(Family(
        _hf("XLNetModel", "XLNetConfig",
            {"vocab_size": 60, "d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 40}),
        TEXT, "ss",
    )),
    "T5": Family(
        _hf("T5ForConditionalGeneration", "T5Config",
            {"vocab_size": 60, "d_model": 32, "d_kv": 8, "d_ff": 40, "num_layers": 2,
             "num_heads": 4, "decoder_start_token_id": 0}),
        TEXT | {"labels": IDS}, "ssscsc",
    ),
    "T5, fed by inputs_embeds": Family(
        _hf("T5ForConditionalGeneration", "T5Config",
            {"vocab_size": 60, "d_model": 32, "d_kv": 8, "d_ff": 40, "num_layers": 2,
             "num_heads": 4, "decoder_start_token_id": 0}),
        _t5_embeddings(), "ssscsc",
    ),
    "BART": Family(_hf("BartModel", "BartConfig", FSMT), TEXT, "ssscsc"),
    "mBART": Family(_hf("MBartModel", "MBartConfig", FSMT), TEXT, "ssscsc"),
    "Pegasus": Family(_hf("PegasusModel", "PegasusConfig", FSMT),
                      TEXT | {"decoder_input_ids": IDS}, "ssscsc"),
    "Marian": Family(_hf("MarianModel", "MarianConfig", FSMT),
                     TEXT | {"decoder_input_ids": IDS}, "ssscsc"),
    "Whisper": Family(
        _hf("WhisperModel", "WhisperConfig",
            FSMT | {"num_mel_bins": 8, "max_source_positions": 12, "max_target_positions": 20}),
        {"input_features": torch.linspace(-1, 1, 2 * 8 * 24).reshape(2, 8, 24),
         "decoder_input_ids": IDS}, "ssscsc",
    ),
    "ViT": _vision("ViT"),
    "DeiT": _vision("DeiT"),
    "BEiT": _eager_only(_vision("Beit"), "sdpa"),
    "DINOv2": _vision("Dinov2", mlp_ratio=2),
    "CLIP vision": _vision("CLIPVision", "ss"),
    "CLIP": Family(
        _hf("CLIPTextModel", "CLIPTextConfig", SIZES | {"eos_token_id": 2}), TEXT, "ss"
    ),
    "SigLIP vision": _vision("SiglipVision", "ssc"),
    "Swin": _eager_only(Family(
        _hf("SwinModel", "SwinConfig",
            {"image_size": 32, "patch_size": 4, "embed_dim": 16, "depths": [1, 1],
             "num_heads": [2, 4], "window_size": 4}), IMAGE, "ss",
    ), "sdpa"),
    "BLIP": Family(_blip_vqa, TEXT | IMAGE | {"labels": IDS}, "ss" + "sc" * 4, _blip_truth,
                   "vision: `output_attentions`; text: hooks on its softmax", "eager"),
    "LLaVA": Family(_llava, _llava_inputs(), "ssss", _language_truth,
                    "`output_attentions` of the eager language model"),
    "Qwen2.5-VL": Family(_qwen_vl, TEXT, "ss"),
    "nn.TransformerEncoder": Family(
        _torch_encoder, {"src": STATES, "src_key_padding_mask": REAL == 0}, "ss", torch_truth,
        "weights that `nn.MultiheadAttention` returns", "PyTorch's fast path", False,
    ),
    "nn.TransformerDecoder": Family(
        _torch_decoder,
        {"tgt": STATES, "memory": STATES.flip(0),
         "tgt_mask": torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1),
         "memory_key_padding_mask": REAL == 0}, "scsc", torch_truth,
        "weights that `nn.MultiheadAttention` returns", "PyTorch's own",
    ),
    "by hand: einsum, window, dropout": Family(
        ByHand, {"states": STATES, "others": STATES.flip(0)}, "c", _own_maps,
        "its own softmax", "einsum",
    ),
    "by hand: heads in the batch, alibi": Family(
        Flat, {"states": STATES}, "s", _own_maps, "its own softmax", "baddbmm, bmm",
    ),
    "by hand: talking heads": Family(
        TalkingHeads, {"states": STATES}, "s", _own_maps, "its own softmax", "matmul",
    ),
}  # fmt: skip
