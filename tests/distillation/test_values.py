"""Methods that compare more than maps: values, and what heads add to the output."""

from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch import Tensor  # noqa: E402

from amad_torch import AttentionMatch, Distiller  # noqa: E402
from amad_torch.peers import distillation_loss  # noqa: E402
from tests.distillation.test_distiller import (  # noqa: E402
    BATCH,
    IDS,
    REAL,
    Grid,
    bert,
    eager,
    t5,
)

ATTENTION = {"output_weight": 0.0, "task_weight": 0.0}
PADDED = REAL.bool()[:, :, None] & REAL.bool()[:, None, :]


def states(model: Any, **inputs: Any) -> list[Tensor]:
    """What each layer of a BERT is given."""
    return list(model(**inputs, output_hidden_states=True).hidden_states[:-1])


def heads_of(linear: Any, given: Tensor, heads: int) -> Tensor:
    return linear(given).reshape(*given.shape[:2], heads, -1).transpose(1, 2)


def by_hand(model: Any, heads: int, name: str) -> Tensor:
    """Queries, keys or values of a BERT's last layer, from its own weights."""
    layer = model.bert.encoder.layer[-1].attention.self
    given = states(model, input_ids=IDS, attention_mask=REAL)[-1]
    return heads_of(getattr(layer, name), given, heads)


def test_value_relations_are_those_by_hand() -> None:
    teacher, student = bert(4, 3, 48), bert(4)
    found = Distiller(
        teacher=teacher,
        student=student,
        method="minilm_value_relation",
        layers=[(2, 1)],
        **ATTENTION,
    )(**BATCH)
    expected = distillation_loss(
        name="minilm_value_relation",
        teacher=by_hand(teacher, 4, "value"),
        student=by_hand(student, 4, "value"),
        mask=PADDED,
    )
    assert torch.allclose(found.attention, expected, rtol=1e-4)
    found.loss.backward()
    value = student.bert.encoder.layer[-1].attention.self.value.weight
    assert value.grad is not None
    assert bool(value.grad.any())


@pytest.mark.parametrize("chosen", [("queries", "keys", "values"), ("keys",)])
def test_minilmv2_adds_the_relations_of_its_paper(chosen: tuple[str, ...]) -> None:
    teacher, student = bert(6, 3, 48), bert(4)
    options: dict[str, Any] = {"relation_heads": 4}
    given = options if len(chosen) == 3 else options | {"vectors": chosen}
    found = Distiller(
        teacher=teacher, student=student, method="minilmv2_relation", layers=[(2, 1)],
        options=given, **ATTENTION,
    )(**BATCH)  # fmt: skip
    names = {"queries": "query", "keys": "key", "values": "value"}
    expected = [
        distillation_loss(
            name="minilmv2_relation",
            teacher=by_hand(teacher, 6, names[one]),
            student=by_hand(student, 4, names[one]),
            mask=PADDED,
            **options,
        )
        for one in chosen
    ]
    assert torch.allclose(found.attention, torch.stack(expected).sum(), rtol=1e-4)


def test_squeezed_heads_are_those_by_hand() -> None:
    teacher, student = bert(6, 3, 48), bert(4)
    found = Distiller(
        teacher=teacher, student=student, method="squeezing_heads", layers=[(2, 1)], **ATTENTION
    )(**BATCH)
    dense = teacher.bert.encoder.layer[-1].attention.output.dense.weight
    outputs = torch.stack(
        [
            values @ dense[:, 8 * head : 8 * head + 8].mT
            for head, values in enumerate(by_hand(teacher, 6, "value").unbind(1))
        ],
        dim=1,
    )
    maps = [
        eager(one.eval(), input_ids=IDS, attention_mask=REAL).attentions[-1]
        for one in (teacher, student)
    ]
    expected = distillation_loss(
        name="squeezing_heads", teacher=maps[0], student=maps[1], teacher_values=outputs,
        mask=PADDED,
    )  # fmt: skip
    assert torch.allclose(found.attention, expected, rtol=1e-3)


@pytest.mark.parametrize("method", ["minilm_value_relation", "squeezing_heads"])
def test_padded_keys_change_nothing(method: str) -> None:
    """In cross-attention too, whose keys are the encoder's."""
    distiller = Distiller(teacher=t5(4, 4), student=t5(4, 2), method=method, **ATTENTION).eval()
    other = IDS.clone()
    other[1, 4:] = 33
    batch = {"attention_mask": REAL, "labels": torch.tensor([[7, 8, 9], [7, 8, -100]])}
    losses = [distiller(**batch, input_ids=ids).attention for ids in (IDS, other)]
    assert torch.allclose(*losses, atol=1e-6)


def test_tokens_that_are_cropped() -> None:
    images = torch.linspace(-3, 3, 2 * 12 * 12 * 12).reshape(2, 12, 12, 12).sin()
    deit, vit, fine = Grid(4, 4, 2), Grid(4, 4, 1), Grid(4, 6, 1)
    for method in ("minilm_value_relation", "squeezing_heads"):
        settings: dict[str, Any] = {"method": method, **ATTENTION}
        cropped = Distiller(teacher=deit, student=vit, crop=(2, 1), **settings)(images=images)
        assert bool(cropped.loss.isfinite())
    with pytest.raises(ValueError, match="no values for patches of another grid"):
        Distiller(teacher=fine, student=vit, crop=(1, 1), resize=True, **settings)(images=images)


def test_what_cannot_be_said_of_values() -> None:
    settings: dict[str, Any] = {"teacher": bert(6, 4, 48), "student": bert(4)}
    with pytest.raises(ValueError, match=r"<- .*one teacher layer"):
        Distiller(
            **settings,
            matches=[AttentionMatch(layers=[((0, 1), 0)], method="squeezing_heads")],
        )(**BATCH)
    for vectors in ("queries", (), ("maps",)):
        with pytest.raises(ValueError, match="vectors must be"):
            Distiller(
                **settings, method="minilmv2_relation",
                options={"relation_heads": 4, "vectors": vectors},
            )(**BATCH)  # fmt: skip
