"""A distiller that streams: the loss and gradients of maps, and no map is built."""

from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch import Tensor, nn  # noqa: E402

from amad_torch import AttentionMatch, Distiller  # noqa: E402
from amad_torch.capture import layer_attention  # noqa: E402
from amad_torch.distillation import streamed  # noqa: E402

TOKENS = {
    "input_ids": torch.tensor([[5, 9, 14, 3, 22, 8, 31], [12, 4, 7, 30, 1, 1, 1]]),
    "attention_mask": torch.tensor([[1] * 7, [1] * 4 + [0] * 3]),
}
METHODS = ("amad_mse", "amad_kl", "amad_token", "amad_js")


def bert(heads: int) -> Any:
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=24, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=heads, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    return transformers.BertModel(config)


def llama(heads: int) -> Any:
    """Causal, with two query heads to a key head."""
    config = transformers.LlamaConfig(
        vocab_size=50, hidden_size=24, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=heads, num_key_value_heads=heads // 2,
    )  # fmt: skip
    return transformers.LlamaModel(config)


def t5(heads: int) -> Any:
    """Relative positions that are learned, and cross-attention."""
    config = transformers.T5Config(
        vocab_size=50, d_model=24, d_kv=6, d_ff=32, num_layers=2, num_heads=heads, dropout_rate=0.0,
        decoder_start_token_id=0, pad_token_id=1,
    )  # fmt: skip
    return transformers.T5ForConditionalGeneration(config)


def made(model: Any, heads: int) -> Any:
    torch.manual_seed(heads)
    return model(heads).double()  # untrained heads differ by little more than float32's rounding


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short maps are streamed too, and none can be built."""

    def refused(attended: object) -> Tensor:
        raise AssertionError("a map is built")

    monkeypatch.setattr(streamed, "WORTHWHILE", 0)
    monkeypatch.setattr(layer_attention, "attention_maps", refused)


def loss_and_gradients(
    model: Any, method: str, batch: dict[str, Tensor], watched: list[Tensor] | None = None
) -> tuple[Tensor, list[Tensor | None]]:
    teacher, student = made(model, 6), made(model, 4)
    distiller = Distiller(
        teacher=teacher, student=student, method=method, temperature=0.1, output_weight=0.0
    )
    if watched is not None:
        distiller.watchers.append(lambda _, alignment: watched.append(alignment()))
    loss = distiller(**batch).attention
    loss.backward()
    return loss.detach(), [one.grad for one in student.parameters()]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model", [bert, llama, t5])
def test_loss_and_gradients_are_those_of_maps(
    model: Any, method: str, request: pytest.FixtureRequest
) -> None:
    batch = TOKENS | ({"labels": TOKENS["input_ids"][:, :5].clone()} if model is t5 else {})
    wanted, gradients = loss_and_gradients(model, method, batch)
    request.getfixturevalue("streams")
    found, others = loss_and_gradients(model, method, batch)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)
    assert sum(one is not None and bool(one.any()) for one in gradients) > 4
    for one, other in zip(others, gradients, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-12)


def test_alignment_weights_for_watchers_too(request: pytest.FixtureRequest) -> None:
    wanted: list[Tensor] = []
    found: list[Tensor] = []
    loss_and_gradients(bert, "amad_kl", TOKENS, wanted)
    request.getfixturevalue("streams")
    loss_and_gradients(bert, "amad_kl", TOKENS, found)
    assert len(wanted) == len(found) == 2
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "is_streamed"),
    [
        ({}, True),
        ({"options": {"eps": 1e-6}}, True),
        ({"crop": (1, 1)}, False),
        ({"method": "mean_head_mse"}, False),
        ({"matches": [AttentionMatch(layers=[((0, 1), 1)])]}, False),
        ({"matches": [AttentionMatch(layers=[(0, 1)])]}, True),
    ],
)
def test_maps_are_taken_where_they_are_needed(
    changes: dict[str, Any], is_streamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamed, "WORTHWHILE", 0)
    assert built(changes, monkeypatch) != is_streamed


def test_small_maps_are_built(monkeypatch: pytest.MonkeyPatch) -> None:
    assert built({}, monkeypatch)
    cells = 2 * (6 + 4) * 7 * 7
    monkeypatch.setattr(streamed, "WORTHWHILE", cells + 1)
    assert built({}, monkeypatch)
    monkeypatch.setattr(streamed, "WORTHWHILE", cells)
    assert not built({}, monkeypatch)


def built(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a forward pass builds a map."""
    calls: list[object] = []
    original = layer_attention.attention_maps

    def counted(attended: Any) -> Tensor:
        calls.append(attended)
        return original(attended)

    monkeypatch.setattr(layer_attention, "attention_maps", counted)
    Distiller(teacher=made(bert, 6), student=made(bert, 4), **changes)(**TOKENS)
    monkeypatch.setattr(layer_attention, "attention_maps", original)
    return bool(calls)


def test_maps_that_a_module_has_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand, softmax and all: to stream would be to compute them again."""

    class ByHand(nn.Module):
        def __init__(self, heads: int) -> None:
            super().__init__()
            self.heads = heads
            self.mix = nn.Linear(12, 36)

        def forward(self, hidden: Tensor) -> Tensor:
            queries, keys, values = (
                one.unflatten(-1, (self.heads, -1)).transpose(1, 2)
                for one in self.mix(hidden).chunk(3, dim=-1)
            )
            return (queries @ keys.mT).softmax(dim=-1) @ values

    def refused(**_: object) -> Tensor:
        raise AssertionError("streamed")

    monkeypatch.setattr(streamed, "WORTHWHILE", 0)
    monkeypatch.setattr(streamed, "amad_loss_from_queries_and_keys", refused)
    distiller = Distiller(teacher=ByHand(3), student=ByHand(2), output_weight=0.0)
    assert distiller(hidden=torch.randn(2, 5, 12)).attention > 0
