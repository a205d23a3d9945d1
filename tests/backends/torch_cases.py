"""Capture on Keras's PyTorch backend: layers in plain PyTorch, fused and by hand."""

from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch.nn import functional

from amad_keras import AttentionDistillation, capture_attention
from amad_keras.capture import layer_attention
from amad_keras.capture.layer_attention import attention_maps
from amad_torch.distillation import streamed
from tests.distillation.test_keras_backends import IDS, Y, distiller

X = torch.sin(torch.arange(3 * 6 * 8, dtype=torch.float32)).reshape(3, 6, 8)
SEEN = torch.ones(6, 6).tril(1).bool()
BIAS = torch.arange(6.0) / 4


class InPyTorch(keras.layers.Layer):
    """Projections of Keras, attention of PyTorch, in one of several ways."""

    def __init__(self, way: str, key_heads: int = 2) -> None:
        super().__init__()
        self.way, self.key_heads = way, key_heads
        self.q = keras.layers.Dense(8)
        self.k, self.v = (keras.layers.Dense(4 * key_heads) for _ in "kv")

    def call(self, states: Any, context: Any = None) -> Any:
        other = states if context is None else context
        q, k, v = (
            layer(given).unflatten(-1, (-1, 4)).transpose(1, 2)
            for layer, given in ((self.q, states), (self.k, other), (self.v, other))
        )
        if self.way == "fused":
            return functional.scaled_dot_product_attention(
                q, k, v, attn_mask=SEEN[:, : k.shape[2]], scale=0.5, enable_gqa=True
            )
        k, v = (one.repeat_interleave(2 // self.key_heads, dim=1) for one in (k, v))
        scores = (q @ k.mT) / 2 + BIAS[: k.shape[2]]
        if self.way == "filled":
            scores = scores.masked_fill(~SEEN[:, : k.shape[2]], -1e9)
        else:
            scores = torch.where(SEEN[:, : k.shape[2]], scores, torch.finfo(scores.dtype).min)
        maps = torch.softmax(scores, dim=-1)
        return torch.einsum("bhqk,bhkd->bhqd", functional.dropout(maps, 0.5), v)


@pytest.mark.parametrize("key_heads", [1, 2])
@pytest.mark.parametrize("way", ["fused", "filled", "where"])
def test_attention_in_plain_pytorch(way: str, key_heads: int) -> None:
    layer, other = InPyTorch(way, key_heads), InPyTorch(way, key_heads)
    layer(X), other(X, X[:, :4])
    stack = torch.overrides._len_torch_function_stack()
    with capture_attention(layer) as attention, capture_attention(other) as crossed:
        layer(X), other(X, X[:, :4])
    assert torch.overrides._len_torch_function_stack() == stack
    assert (attention[""].kind, crossed[""].kind) == ("self", "cross")
    one = attention[""]
    assert one.keys.shape == (3, key_heads, 6, 4)
    q, k = (
        keras.ops.convert_to_numpy(dense(X)).reshape(3, 6, -1, 4).swapaxes(1, 2)
        for dense in (layer.q, layer.k)
    )
    scores = q @ k.swapaxes(-1, -2) / 2 + (0 if way == "fused" else BIAS.numpy())
    scores = np.where(SEEN.numpy(), scores, -np.inf)
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    expected = powers / powers.sum(-1, keepdims=True)
    for maps in (one.maps, attention_maps(one.attended)):
        np.testing.assert_allclose(maps.detach().numpy(), expected, rtol=0, atol=5e-6)
    torch.sum(one.maps**2).backward()
    for dense in (layer.q, layer.k):
        assert dense.kernel.value.grad.abs().sum() > 0


@pytest.mark.parametrize("variant", ["mse", "kl", "token", "js"])
def test_large_maps_of_fused_attention_are_not_built(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Value and gradients are those of maps, of padded tokens."""
    built: list[Any] = []

    def builds(attended: Any) -> Any:
        built.append(attended)
        return attention_maps(attended)

    monkeypatch.setattr(layer_attention, "attention_maps", builds)
    found = []
    for least, times in ((streamed.WORTHWHILE, 4), (8 * (4 + 2) * 6 * 6, 0)):
        monkeypatch.setattr(streamed, "WORTHWHILE", least)
        added = AttentionDistillation(variant=variant, temperature=0.1, options={"eps": 1e-6})
        made = distiller(added, weight=0.0, tokens=True)
        total = made.compute_loss(IDS, Y, made(IDS, training=True), training=True)
        total.backward()
        learned = (one.value.grad for one in made.student.trainable_variables)
        gradients = [one.flatten() for one in learned if one is not None]
        found.append((total.detach(), torch.cat(gradients)))
        assert len(built) == times
        built.clear()
    (loss, gradient), (wanted, wanted_gradient) = found
    torch.testing.assert_close(loss, wanted, rtol=1e-5, atol=0)
    size = float(wanted_gradient.abs().max())
    torch.testing.assert_close(gradient, wanted_gradient, rtol=0, atol=1e-4 * size)


def test_no_attention_is_no_silence() -> None:
    layer = keras.layers.Dense(3)
    with pytest.raises(RuntimeError, match="no attention was captured"), capture_attention(layer):
        layer(X)
