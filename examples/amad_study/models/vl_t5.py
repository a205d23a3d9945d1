"""VL-T5: a T5 whose encoder reads a text and, behind it, the regions of a picture.

As in Cho et al., "Unifying Vision-and-Language Tasks via Text Generation", ICML 2021: a region's
embedding is made of what it shows, where its box lies and how large it is. (Theirs also has the
number of the region, which is by a detector's confidence; regions here have no order.) Every task
is put as text in, text out.
"""

# mypy: allow-untyped-calls
# (some of what is called here has no annotations upstream)

from typing import Any

import torch
from torch import Tensor, nn
from transformers import T5Config, T5ForConditionalGeneration
from transformers.models.t5.modeling_t5 import T5LayerNorm

from amad_study.models.size import ModelSize
from amad_study.models.vocabulary import END, PAD, START


class VLT5(nn.Module):
    """Says a text about a text and a picture's regions.

    Args:
        size: widths, heads and layers.
        words: how many the vocabulary has.
        features: numbers that tell what a region shows.
    """

    def __init__(self, size: ModelSize, *, words: int, features: int) -> None:
        super().__init__()
        self.region_content = nn.Sequential(
            nn.Linear(features, size.width), T5LayerNorm(size.width)
        )
        self.region_place = nn.Sequential(
            nn.Linear(5, size.width),
            nn.ReLU(),
            nn.Linear(size.width, size.width),
            T5LayerNorm(size.width),
        )
        self.t5 = T5ForConditionalGeneration(_config(size, words))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        regions: Tensor,
        boxes: Tensor,
        labels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Score every next word of the right text.

        Args:
            input_ids: the text, padded at its beginning, `[B, L]`.
            attention_mask: true where text and, behind it, regions are no padding, `[B, L + R]`.
            regions: what each region shows, `[B, R, features]`.
            boxes: top, left, bottom, right in units of the picture, and the area, `[B, R, 5]`.
            labels: the right text, -100 behind its end, `[B, T]`.

        Returns:
            `loss` and `logits` `[B, T, words]`.
        """
        found = self.t5(
            inputs_embeds=self._read(input_ids, regions, boxes),
            attention_mask=attention_mask.long(),
            labels=None if labels is None else labels.contiguous(),
            use_cache=False,
        )
        return {"loss": found.loss, "logits": found.logits}

    @torch.no_grad()
    def say(
        self,
        *,
        input_ids: Tensor,
        attention_mask: Tensor,
        regions: Tensor,
        boxes: Tensor,
        longest: int,
    ) -> Tensor:
        """The most likely next word, again and again, up to `longest`: `[B, up to longest + 1]`."""
        said: Tensor = self.t5.generate(
            inputs_embeds=self._read(input_ids, regions, boxes),
            attention_mask=attention_mask.long(),
            max_new_tokens=longest,
            do_sample=False,
        )
        return said

    def _read(self, input_ids: Tensor, regions: Tensor, boxes: Tensor) -> Tensor:
        words = self.t5.get_input_embeddings()(input_ids)
        seen = self.region_content(regions) + self.region_place(boxes)
        return torch.cat([words, seen], dim=1)


def _config(size: ModelSize, words: int) -> T5Config:
    options: dict[str, Any] = {
        "vocab_size": words,
        "d_model": size.width,
        "d_kv": size.head_width,
        "d_ff": size.feed_forward,
        "num_layers": size.encoder_layers,
        "num_decoder_layers": size.decoder_layers,
        "num_heads": size.heads,
        "dropout_rate": 0.0,
        "pad_token_id": PAD,
        "eos_token_id": END,
        "decoder_start_token_id": START,
    }
    return T5Config(**options)
