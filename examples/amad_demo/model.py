"""A small vision-language model: a T5 that reads a question and looks at image regions.

Built as VL-T5 (Cho et al., 2021) is: the encoder is fed the question's word embeddings followed by
one embedding for each image region, made from what the region shows and where its box lies.
Teacher and student are both of this class and differ in size only.
"""

# mypy: allow-untyped-calls
# (some of what is called here has no annotations upstream)

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import T5Config, T5ForConditionalGeneration
from transformers.models.t5.modeling_t5 import T5LayerNorm

from amad_demo.region_reader import FEATURES, RegionReader
from amad_demo.vocabulary import PAD, WORDS


@dataclass(frozen=True)
class ModelSize:
    """How large a model is; everything else is the same in all of them."""

    width: int
    heads: int
    head_width: int
    feed_forward: int
    encoder_layers: int
    decoder_layers: int


TEACHER_SIZE = ModelSize(
    width=64, heads=8, head_width=16, feed_forward=128, encoder_layers=3, decoder_layers=1
)
STUDENT_SIZE = ModelSize(
    width=32, heads=3, head_width=12, feed_forward=64, encoder_layers=2, decoder_layers=1
)


class VisualQuestionModel(nn.Module):
    """Answers a question about an image in one word.

    Args:
        size: widths, heads and layers.
        reader: the frozen visual front end.
    """

    def __init__(self, size: ModelSize, reader: RegionReader) -> None:
        super().__init__()
        self.reader = reader
        self.region_content = nn.Sequential(
            nn.Linear(FEATURES, size.width), T5LayerNorm(size.width)
        )
        self.region_place = nn.Sequential(
            nn.Linear(4, size.width),
            nn.ReLU(),
            nn.Linear(size.width, size.width),
            T5LayerNorm(size.width),
        )
        self.t5 = T5ForConditionalGeneration(_t5_config(size))

    def forward(
        self,
        question: Tensor,
        regions: Tensor,
        boxes: Tensor,
        attention_mask: Tensor,
        labels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Answer a batch of questions; the answer is the decoder's first and only word.

        Args:
            question, regions, boxes, attention_mask: as in `Batch`.
            labels: the right answers, `[B]`.

        Returns:
            `logits`, one score for each word as the answer, `[B, words]`; with labels `loss`, too.
        """
        words = self.t5.get_input_embeddings()(question)
        features = self.reader(regions)
        seen = self.region_content(features) + self.region_place(boxes)
        output = self.t5(
            inputs_embeds=torch.cat([words, seen], dim=1),
            attention_mask=attention_mask.long(),
            decoder_input_ids=torch.full((len(question), 1), PAD),
            use_cache=False,
        )
        logits = output.logits[:, 0]
        if labels is None:
            return {"logits": logits}
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def _t5_config(size: ModelSize) -> T5Config:
    options: dict[str, Any] = {
        "vocab_size": len(WORDS),
        "d_model": size.width,
        "d_kv": size.head_width,
        "d_ff": size.feed_forward,
        "num_layers": size.encoder_layers,
        "num_decoder_layers": size.decoder_layers,
        "num_heads": size.heads,
        "dropout_rate": 0.0,
        "pad_token_id": PAD,
        "decoder_start_token_id": PAD,
    }
    return T5Config(**options)
