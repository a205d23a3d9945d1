"""A tiny BERT learns from one with more heads and layers, and SDPA's empty tuple is an error."""

from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

STEPS = 25


def bert(layers: int, heads: int, seed: int, attention: str = "eager") -> Any:
    """Random weights, large enough that attention is not uniform; nothing is downloaded."""
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=20,
        hidden_size=8 * heads,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=32,
        max_position_embeddings=8,
        num_labels=3,
        initializer_range=0.3,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation=attention,
    )
    return transformers.BertForSequenceClassification(config)


def batch() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([[8], [6], [3], [8]])
    return {
        "input_ids": torch.randint(20, (4, 8), generator=generator),
        "attention_mask": (torch.arange(8) < lengths).long(),
    }


LABELS = torch.tensor([0, 1, 2, 1])


@pytest.mark.parametrize("variant", ["mse", "kl"])
def test_the_attention_loss_falls_while_a_bert_trains(variant: str) -> None:
    from amad_core.training.schedule import LinearRamp
    from amad_torch.training.layer_losses import amad_layers_loss
    from amad_torch.training.masks import cell_mask
    from amad_torch.training.output_losses import output_loss, task_loss
    from amad_torch.training.total import total_loss

    teacher, student = bert(4, 4, seed=1).eval(), bert(2, 2, seed=2)
    optimizer = torch.optim.Adam(student.parameters(), lr=3e-3)
    inputs = batch()
    with torch.no_grad():
        wanted = teacher(**inputs, output_attentions=True)
    cells = cell_mask(tokens=inputs["attention_mask"], maps=wanted.attentions[0])
    ramp = LinearRamp(start=0.5, end=1.0, first_step=0, last_step=STEPS)
    logged = []
    for step in range(STEPS):
        found = student(**inputs, labels=LABELS, output_attentions=True)
        layers = amad_layers_loss(
            teacher=wanted.attentions, student=found.attentions, mask=cells, variant=variant
        )
        loss = total_loss(
            output=output_loss(teacher=wanted.logits, student=found.logits, temperature=2.0),
            task=task_loss(student=found.logits, labels=LABELS),
            attention=layers.total,
            attention_weight=ramp,
            step=step,
        )
        torch.testing.assert_close(loss.task, found.loss)  # Transformers' own
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        logged.append((loss, layers))
    assert [tuple(pair) for pair in logged[0][1].pairs] == [(1, 0), (3, 1)]
    (first, first_layers), (last, last_layers) = logged[0], logged[-1]
    # What no student can get below: the part of the loss that identical maps would leave.
    assert last.attention < 0.9 * first.attention
    assert last.total < first.total
    for before, after in zip(first_layers.per_layer, last_layers.per_layer, strict=True):
        assert after < before


def test_the_empty_tuple_of_sdpa_is_an_error() -> None:
    from amad_torch.training.layer_losses import amad_layers_loss

    inputs = batch()
    with torch.no_grad():
        found = bert(2, 2, seed=2, attention="sdpa")(**inputs, output_attentions=True)
        wanted = bert(4, 4, seed=1)(**inputs, output_attentions=True)
    assert not found.attentions, "Transformers now returns maps here; say so in the docs"
    with pytest.raises(ValueError, match=r'student must .*attn_implementation="eager"'):
        amad_layers_loss(teacher=wanted.attentions, student=found.attentions)
