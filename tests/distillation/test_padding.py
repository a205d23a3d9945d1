"""Whose padding a mask of the batch tells, where lengths are equal by chance."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from amad_torch import capture_attention  # noqa: E402
from amad_torch.padding import has_decoder, padding_entries  # noqa: E402
from tests.capture.families import FAMILIES, IMAGE  # noqa: E402


def test_a_text_of_as_many_tokens_as_a_picture_has_patches() -> None:
    model, tokens = FAMILIES["BLIP"].make().eval(), 17  # 4 x 4 patches and a class token
    text = torch.arange(2 * tokens).reshape(2, tokens) % 50
    batch = {"input_ids": text, "attention_mask": (text < 30).long(), "labels": text, **IMAGE}
    with torch.no_grad(), capture_attention(model) as attention:
        model(**batch)
    behind = has_decoder(attention.values())
    found = {
        (layer.path.partition(".")[0], layer.kind): padding_entries(layer, batch, behind)
        for layer in attention.values()
    }
    assert {layer.shape[2:] for layer in attention.values()} == {(tokens, tokens)}
    assert found == {
        ("vision_model", "self"): (None, None),
        ("text_encoder", "self"): ("attention_mask", "attention_mask"),
        ("text_encoder", "cross"): ("attention_mask", None),
        ("text_decoder", "self"): ("labels", "labels"),
        ("text_decoder", "cross"): ("labels", "attention_mask"),
    }
