"""BLIP: a vision transformer, a text encoder that looks at the picture, and a text decoder.

As in Li et al., "BLIP", ICML 2022, from the parts that
`BlipForQuestionAnswering` has. A task with a text
to read (questions, translation) has the decoder look at the encoded text; captions have it look at
the picture, as `BlipForConditionalGeneration` does. Unlike those two classes the model gives
logits, has no label smoothing, and masks the text's padding when it speaks as when it learns.
"""

# mypy: allow-untyped-calls
# (some of what is called here has no annotations upstream)

import math
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BlipTextConfig, BlipVisionConfig, BlipVisionModel
from transformers.models.blip.modeling_blip_text import (
    BlipTextAttention,
    BlipTextLMHeadModel,
    BlipTextModel,
)

from amad_study.models.patch_reader import PatchEmbedding
from amad_study.models.size import ModelSize
from amad_study.models.vocabulary import END, PAD, START

_LONGEST_TEXT = 512


class Blip(nn.Module):
    """Says a text about a text and a picture.

    Args:
        size: widths, heads and layers; `head_width` is `width / heads`.
        words: how many the vocabulary has.
        image_size, patch_size: of the square picture and its patches, in pixels.
        reads_text: whether the decoder looks at the encoded text, or at the picture alone.
        of_digits: whether patches are read by the frozen network of `patch_reader`.

    Raises:
        ValueError: heads that do not fill the width.
    """

    def __init__(
        self,
        size: ModelSize,
        *,
        words: int,
        image_size: int,
        patch_size: int,
        reads_text: bool = True,
        of_digits: bool = False,
    ) -> None:
        super().__init__()
        if size.heads * size.head_width != size.width:
            raise ValueError(
                f"head_width is {size.head_width}, but BLIP's heads share its width: expected "
                f"width / heads = {size.width} / {size.heads}"
            )
        common: dict[str, Any] = {
            "hidden_size": size.width,
            "intermediate_size": size.feed_forward,
            "num_attention_heads": size.heads,
            # BLIP's own is 0.02, meant for widths of 768, and 1e-10 for its vision model.
            "initializer_range": min(0.1, 0.6 / size.width**0.5),
        }
        vision: dict[str, Any] = {"image_size": image_size, "patch_size": patch_size}
        self.vision_model = BlipVisionModel(
            BlipVisionConfig(num_hidden_layers=size.vision_layers, **vision, **common)
        )
        self.text_encoder = (
            BlipTextModel(_text(size.encoder_layers, words, common), add_pooling_layer=False)
            if reads_text
            else None
        )
        self.text_decoder = BlipTextLMHeadModel(_text(size.decoder_layers, words, common))
        for module in self.modules():
            if isinstance(module, BlipTextAttention):
                module.self.register_forward_pre_hook(_pass_mask_on, with_kwargs=True)
        self._begin(size.width, patch_size, of_digits)

    @torch.no_grad()
    def _begin(self, width: int, patch_size: int, of_digits: bool) -> None:
        """Weights that so small a model can learn from, which begins with no others.

        Embeddings are of unit size, as T5's are; a place is a row and a column, as in a vision
        transformer that was trained; queries and keys of text are so large that attention can be
        sharp. With BLIP's own, a teacher had 38 % of questions right after 1500 steps; with these
        59 % after 500.
        """
        embeddings = self.vision_model.embeddings
        patches: nn.Module = PatchEmbedding(width, patch_size, of_digits=of_digits)
        embeddings.add_module("patch_embedding", patches)
        side = math.isqrt(embeddings.num_patches)
        rows, columns = torch.randn(2, side, width) / 2**0.5
        places = (rows[:, None] + columns).flatten(0, 1)
        embeddings.position_embedding.copy_(torch.cat([torch.randn(1, width), places])[None])
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                module.weight.normal_()
            elif isinstance(module, BlipTextAttention):
                module.self.query.weight.mul_(2)
                module.self.key.weight.mul_(2)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        pixel_values: Tensor,
        labels: Tensor,
    ) -> dict[str, Tensor]:
        """Score every next word of the right text.

        Args:
            input_ids: the text, `[B, L]`.
            attention_mask: true where it is no padding, `[B, L]`.
            pixel_values: the picture, `[B, 3, height, width]`.
            labels: the right text, -100 behind its end, `[B, T]`.

        Returns:
            `loss` and `logits` `[B, T, words]`.
        """
        context, seen = self._read(input_ids, attention_mask, pixel_values)
        start = torch.full_like(labels[:, :1], START)
        said = torch.cat([start, labels[:, :-1].where(labels[:, :-1] >= 0, PAD)], dim=1)
        logits = self.text_decoder(
            input_ids=said,
            encoder_hidden_states=context,
            encoder_attention_mask=seen,
            use_cache=False,
        ).logits
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return {"loss": loss, "logits": logits}

    @torch.no_grad()
    def say(
        self, *, input_ids: Tensor, attention_mask: Tensor, pixel_values: Tensor, longest: int
    ) -> Tensor:
        """The most likely next word, again and again, up to `longest`: `[B, up to longest + 1]`."""
        context, seen = self._read(input_ids, attention_mask, pixel_values)
        said: Tensor = self.text_decoder.generate(
            input_ids=torch.full((len(input_ids), 1), START),
            encoder_hidden_states=context,
            encoder_attention_mask=seen,
            eos_token_id=END,
            pad_token_id=PAD,
            max_new_tokens=longest,
            do_sample=False,
        )
        return said

    def _read(
        self, input_ids: Tensor, attention_mask: Tensor, pixel_values: Tensor
    ) -> tuple[Tensor, Tensor]:
        image: Tensor = self.vision_model(pixel_values=pixel_values).last_hidden_state
        whole = torch.ones(image.shape[:2], dtype=torch.long)
        if self.text_encoder is None:
            return image, whole
        mask = attention_mask.long()
        text: Tensor = self.text_encoder(
            input_ids=input_ids,
            attention_mask=mask,
            encoder_hidden_states=image,
            encoder_attention_mask=whole,
        ).last_hidden_state
        return text, mask


def _pass_mask_on(module: nn.Module, args: Any, given: dict[str, Any]) -> tuple[Any, Any]:
    """Transformers 5.24 gives cross-attention its mask by a name that it then does not read."""
    if given.get("encoder_hidden_states") is not None:
        given = {**given, "encoder_attention_mask": given.get("attention_mask")}
    return args, given


def _text(layers: int, words: int, common: dict[str, Any]) -> BlipTextConfig:
    return BlipTextConfig(
        num_hidden_layers=layers,
        vocab_size=words,
        encoder_hidden_size=common["hidden_size"],
        max_position_embeddings=_LONGEST_TEXT,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=PAD,
        bos_token_id=START,
        eos_token_id=END,
        sep_token_id=END,
        is_decoder=True,
        **common,
    )
