"""Examples as the tensors that a model, and so a distiller, is called with."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from amad_study.data.example import Example, Split
from amad_study.models.region_reader import region_features
from amad_study.models.vocabulary import END, PAD, Vocabulary

IGNORED = -100

Batch = dict[str, Tensor]


def encode_examples(
    split: Split,
    examples: Sequence[Example],
    *,
    family: str,
    vocabulary: Vocabulary,
    digits: bool,
) -> Batch:
    """All that a family's model takes, for all examples, padded to one length.

    Args:
        split: where the pictures are.
        examples: of the split; or others about its pictures.
        family: `"vl-t5"` or `"blip"`.
        vocabulary: of the models.
        digits: see `region_features`; pictures of anything else are standardised.

    Returns:
        by name, with the examples along the first axis.

    Raises:
        ValueError: no example.
    """
    if not examples:
        raise ValueError("examples are empty, expected at least one")
    pictures = [split.picture(example) for example in examples]
    if not digits:
        pictures = [picture.standardised() for picture in pictures]
    texts = [torch.tensor(vocabulary.encode(example.source)) for example in examples]
    said = [torch.tensor([*vocabulary.encode(example.target), END]) for example in examples]
    encoded = {
        "input_ids": pad_sequence(texts, batch_first=True, padding_value=PAD),
        "attention_mask": _true_up_to([len(text) for text in texts]),
        "labels": pad_sequence(said, batch_first=True, padding_value=IGNORED),
    }
    if family == "blip":
        pixels = torch.stack([torch.from_numpy(one.pixels).permute(2, 0, 1) for one in pictures])
        encoded["pixel_values"] = pixels.expand(-1, 3, -1, -1)
        return encoded
    regions = region_features(pictures, digits=digits)
    boxes = [torch.from_numpy(picture.relative_boxes()) for picture in pictures]
    encoded["regions"] = pad_sequence(regions, batch_first=True)
    placed = pad_sequence(boxes, batch_first=True)
    top, left, bottom, right = placed.unbind(dim=-1)
    area = (bottom - top) * (right - left)
    encoded["boxes"] = torch.cat([placed, area.unsqueeze(-1)], dim=-1)
    # T5 knows places relative to one another: with its padding before the text and behind the
    # regions, words and regions are as far apart in every batch.
    encoded["input_ids"] = pad_sequence(
        [text.flip(0) for text in texts], batch_first=True, padding_value=PAD
    ).flip(1)
    of_text = encoded["attention_mask"].flip(1)
    of_regions = _true_up_to([len(one) for one in regions])
    encoded["attention_mask"] = torch.cat([of_text, of_regions], dim=1)
    return encoded


def without_reading_as_image(encoded: Batch, image_tokens: int) -> Batch:
    """A text of as many tokens as BLIP's picture gets one more, of padding.

    A distiller tells by its length whose padding a mask is; equal lengths would have the text's
    padding taken for the picture's.
    """
    if encoded["input_ids"].shape[1] != image_tokens:
        return encoded
    longer = {
        name: torch.nn.functional.pad(encoded[name], (0, 1))
        for name in ("input_ids", "attention_mask")
    }
    return {**encoded, **longer}


def rows(data: Batch, chosen: Tensor | slice) -> Batch:
    """Some of the examples."""
    return {name: value[chosen] for name, value in data.items()}


def count(data: Batch) -> int:
    """How many examples there are."""
    return len(next(iter(data.values())))


def shuffled_batches(data: Batch, size: int, steps: int, seed: int) -> Iterator[Batch]:
    """Yield `steps` batches: pass after pass over the data, each in a new order."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        while len(order) < size:
            order = torch.cat([order, torch.randperm(count(data), generator=generator)])
        yield rows(data, order[:size])
        order = order[size:]


def _true_up_to(lengths: list[int]) -> Tensor:
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
