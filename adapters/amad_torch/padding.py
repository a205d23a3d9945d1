"""Which tokens of a batch are padding: the entries that say so, and for which axis of a map."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from amad_torch.capture.layer_attention import LayerAttention
from amad_torch.models import IGNORED


def has_decoder(layers: Iterable[LayerAttention]) -> bool:
    """Whether a decoder stands behind an encoder: then a batch has tokens of two lengths."""
    return any(layer.kind == "cross" and "decoder" in layer.path for layer in layers)


def padding_entries(
    layer: LayerAttention, batch: Mapping[str, Any], behind_encoder: bool
) -> tuple[str | None, str | None]:
    """The entries by which a layer's queries and its keys are real or padding.

    Tokens of a decoder behind an encoder follow ``decoder_attention_mask``, else labels that are
    not ignored; all others follow ``attention_mask``. ``None``: all of the axis counts, as no entry
    is as long, or as it is of a picture, which may by chance have as many patches as a text tokens.
    """
    samples, _, queries, keys = layer.shape
    pictures = _has_pictures(batch)
    if pictures and _OF_PICTURES.search(layer.path):
        return None, None
    in_decoder = behind_encoder and "decoder" in layer.path
    to_picture = pictures and layer.kind == "cross" and not in_decoder
    return (
        padding_entry(batch, (samples, queries), in_decoder),
        None
        if to_picture
        else padding_entry(batch, (samples, keys), in_decoder and layer.kind == "self"),
    )


_OF_PICTURES = re.compile(
    r"(^|\.)(vision|visual|image)(_(model|tower|encoder|backbone|transformer))?(\.|$)"
)
"""The part of a model, by its path, that attends among patches."""


def _has_pictures(batch: Mapping[str, Any]) -> bool:
    return any(
        isinstance(one, Tensor) and one.dim() > 3 and one.is_floating_point()
        for one in batch.values()
    )


def padding_entry(batch: Mapping[str, Any], shape: tuple[int, int], of_decoder: bool) -> str | None:
    """The entry that tells real tokens from padding, for an axis of this many samples, tokens."""
    names = ("decoder_attention_mask", "labels") if of_decoder else ("attention_mask",)
    for name in names:
        given = batch.get(name)
        if isinstance(given, Tensor) and given.shape == shape:
            return name
    return None


def real_tokens(batch: Mapping[str, Any], name: str) -> Tensor:
    """``[B, L]``, true where the entry says that a token is real."""
    given: Tensor = batch[name]
    return given != IGNORED if name == "labels" else given.bool()
