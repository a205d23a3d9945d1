"""Suggested settings: planted truths are found, and the distiller stays as it was."""

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from amad_torch import AttentionMatch, Distiller  # noqa: E402
from amad_torch.distillation.likeness import (  # noqa: E402
    effective_rank,
    evenness,
    head_cosines,
    layer_likeness,
    mean_cosine,
)
from tests.distillation.test_distiller import BATCH, IDS, REAL, bert, t5  # noqa: E402

OTHER = BATCH | {"input_ids": IDS.flip(0), "attention_mask": REAL.flip(0)}
SEQUENCES = BATCH | {"labels": IDS[:, :5].contiguous()}


def sharp(*sizes: int, seed: int = 0) -> Any:
    """A BERT whose heads attend to something, as untrained ones hardly do."""
    return bert(*sizes, initializer_range=0.4, pad_token_id=seed)


def test_a_layer_is_matched_with_the_one_it_copies() -> None:
    teacher, student = sharp(4, 4), sharp(4, 1)
    # The student's only layer is the teacher's second: same input, so the teacher's first must pass
    # it through; an output of zeros leaves the normed input as it is.
    encoder = teacher.bert.encoder.layer
    for dense in (encoder[0].attention.output.dense, encoder[0].output.dense):
        torch.nn.init.zeros_(dense.weight)
        torch.nn.init.zeros_(dense.bias)
    student.bert.embeddings.load_state_dict(teacher.bert.embeddings.state_dict())
    student.bert.encoder.layer[0].load_state_dict(encoder[1].state_dict())
    found = Distiller(teacher=teacher, student=student).suggest([BATCH, OTHER])
    assert found.layers == {"self": [(1, 0)]}
    assert found.parts[0].likeness[0][1] == pytest.approx(1, abs=1e-3)
    assert max(found.parts[0].likeness[0][one] for one in (0, 2, 3)) < 0.9
    assert "student 0 from teacher 1 (most like it" in found.reasons["layers"]


def test_without_a_clear_layer_the_uniform_map_stays() -> None:
    teacher, student = bert(6, 4, 48), bert(4)
    for model in (teacher, student):  # maps that are even: nothing is like anything
        for name, one in model.named_parameters():
            if ".query." in name:
                torch.nn.init.zeros_(one)
    found = Distiller(teacher=teacher, student=student).suggest([BATCH])
    assert found.layers == {"self": [(1, 0), (3, 1)]}
    assert found.temperature == 1.0
    assert found.reasons["temperature"].startswith("kept")


def test_heads_that_are_equal_and_heads_without_a_cell_in_common() -> None:
    apart = torch.eye(3).expand(2, 3, 3)[:, :, None]  # 3 heads, each looks at a key of its own
    equal = apart[:, :1].expand(-1, 3, -1, -1)
    assert effective_rank(head_cosines(apart, apart, None)) == pytest.approx(3)
    assert mean_cosine(head_cosines(apart, apart, None)) == 0
    assert effective_rank(head_cosines(equal, equal, None)) == pytest.approx(1)
    assert mean_cosine(head_cosines(equal, equal, None)) == pytest.approx(1)
    mask = torch.tensor([True, False, False]).expand(2, 1, 3)
    cosines = head_cosines(apart, apart, mask)
    assert cosines[0].tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_evenness_goes_from_one_head_to_all() -> None:
    cosines = torch.tensor([[[0.9, 0.5, 0.1]]])
    assert evenness(cosines, 1e-3) == pytest.approx((0, 1), abs=1e-6)
    assert evenness(cosines, 1e4) == pytest.approx((1, 1 / 3), abs=1e-4)
    assert evenness(cosines[..., :1], 1.0) == (1.0, 1.0)


def test_a_causal_order_alone_makes_no_likeness() -> None:
    torch.manual_seed(1)
    causal = torch.ones(40, 40).tril()
    maps = [(torch.randn(2, 1, 40, 40).exp() * causal) for _ in range(2)]
    one, other = (each / each.sum(-1, keepdim=True) for each in maps)
    assert head_cosines(one, other, None).mean() > 0.5
    assert abs(layer_likeness(one, other, None)) < 0.15
    assert layer_likeness(one, one, None) == pytest.approx(1)


def gradient_norms(distiller: Any, batch: Any) -> dict[str, float]:
    distiller.eval()
    out, norms = distiller(**batch), {}
    for name in ("attention", "output", "task"):
        distiller.zero_grad()
        (getattr(distiller, f"{name}_weight") * out[name]).backward(retain_graph=True)
        found = [one.grad.norm() for one in distiller.parameters() if one.grad is not None]
        norms[name] = float(torch.stack(found).norm())
    return norms


@pytest.mark.parametrize("pair", ["bert", "t5"])
def test_with_the_suggested_weights_the_gradients_are_of_one_size(pair: str) -> None:
    if pair == "bert":
        models, batch = {"teacher": sharp(6, 4, 48), "student": sharp(4)}, BATCH
    else:
        models, batch = (
            {"teacher": t5(4, 3), "student": t5(2, 2)},
            BATCH | {"labels": IDS[:, :5].contiguous()},
        )
    found = Distiller(**models).suggest([batch])
    distiller = Distiller(**models, **found.settings)
    norms = gradient_norms(distiller, batch)
    assert max(norms.values()) <= 1.1 * min(norms.values())
    for one in found.losses:
        assert one.weight * one.gradient_norm == pytest.approx(norms[one.name], rel=1e-3)
    other = Distiller(**models)
    found.apply(other)
    assert gradient_norms(other, batch) == norms
    assert other.pairs(**batch) == distiller.pairs(**batch)


def test_parts_of_a_model_have_layer_maps_of_their_own() -> None:
    distiller = Distiller(teacher=t5(4, 3), student=t5(2, 2))
    batch = SEQUENCES
    found = distiller.suggest(iter([batch]))
    assert list(found.layers) == ["self encoder", "self decoder", "cross decoder"]
    said = {
        f"{part.student[student]} <- {part.teacher[teacher]}"
        for part in found.parts
        for teacher, student in part.pairs
    }
    found.apply(distiller)
    assert set(distiller.pairs(**batch)) == said


@pytest.mark.parametrize("training", [True, False])
def test_the_distiller_stays_bit_for_bit_as_it_was(training: bool) -> None:
    student = bert(4, hidden_dropout_prob=0.3)
    distiller = Distiller(teacher=bert(6, 4, 48), student=student).train(training)
    student.bert.embeddings.eval()
    student.register_forward_pre_hook(lambda *_: torch.manual_seed(1) and None)
    distiller(**BATCH).loss.backward()
    before = {name: one.clone() for name, one in distiller.state_dict().items()}
    gradients = [one.grad.clone() for one in distiller.parameters() if one.grad is not None]
    modes = [one.training for one in distiller.modules()]
    torch.manual_seed(2)
    settings, random = dict(vars(distiller)), torch.get_rng_state()
    with torch.no_grad():
        first = distiller.suggest([BATCH])
    assert torch.equal(torch.get_rng_state(), random)
    assert [one.training for one in distiller.modules()] == modes
    assert vars(distiller) == settings
    assert all(torch.equal(one, before[name]) for name, one in distiller.state_dict().items())
    left = [one.grad for one in distiller.parameters() if one.grad is not None]
    assert all(torch.equal(*both) for both in zip(left, gradients, strict=True))
    student._forward_pre_hooks.clear()
    assert distiller.suggest([BATCH]).as_json() == first.as_json()  # no dropout in what is measured


def test_also_after_an_error_and_no_more_batches_are_taken_than_said() -> None:
    distiller = Distiller(teacher=bert(6, 4, 48), student=bert(4)).train()
    with pytest.raises((TypeError, ValueError)):
        distiller.suggest([{"input_ids": IDS[0, 0]}])
    assert all(one.training for one in distiller.modules())
    endless = iter(lambda: BATCH, None)
    assert distiller.suggest(endless, at_most=2).batches == 2


def test_what_is_left_out_stays_so() -> None:
    distiller = Distiller(
        teacher=bert(6, 4, 48), student=bert(4), output_weight=0, task_weight=3.0,
        matches=[AttentionMatch(method="mean_head_mse")],
    )  # fmt: skip
    found = distiller.suggest([BATCH])
    assert (found.output_weight, found.task_weight, found.temperature) == (0, 3.0, 1.0)
    assert "leaves this part out" in found.reasons["output_weight"]
    assert "no alignment weights" in found.reasons["temperature"]
    assert [one.name for one in found.losses] == ["attention", "task"]


def test_a_gradient_that_is_tiny_makes_no_weight_without_a_caution() -> None:
    student = bert(4)
    for name, one in student.named_parameters():  # its maps are even, and stay so
        if ".query." in name or ".key." in name:
            torch.nn.init.constant_(one, 1e-6)
    found = Distiller(teacher=sharp(6, 4, 48), student=student).suggest([BATCH])
    assert found.attention_weight > 100
    assert "measure again after some steps" in found.reasons["attention_weight"]
    assert "measure again" not in found.reasons["output_weight"]
    alone = Distiller(teacher=sharp(6, 4, 48), student=bert(1)).suggest([BATCH])
    assert "one head" in alone.reasons["temperature"]


def test_who_watches_the_training_sees_nothing_of_it() -> None:
    distiller, seen = Distiller(teacher=bert(6, 4, 48), student=bert(4)), []
    distiller.watchers.append(lambda *given: seen.append(given))
    distiller.suggest([BATCH])
    assert not seen


def test_it_is_read_drawn_and_kept(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = Distiller(teacher=sharp(6, 4, 48), student=sharp(4)).suggest([BATCH])
    text = str(found)
    for expected in ("starting point", "effective rank", "student 1", "entropy", "gradient norm"):
        assert expected in text
    for name in found.reasons:
        assert f"\n{name}" in text
    kept = json.loads(json.dumps(found.as_json()))
    assert kept["parts"][0]["heads"] == [6] * 4
    figure = found.plot(tmp_path / "new" / "suggested.png")
    assert (tmp_path / "new" / "suggested.png").read_bytes().startswith(b"\x89PNG")
    assert [one.name for one in (tmp_path / "new").iterdir()] == ["suggested.png"]
    assert len(figure.axes) == 4


@pytest.mark.parametrize(
    ("batches", "kind", "words"),
    [
        ([], ValueError, "at least one batch"),
        (BATCH, TypeError, r"give \[batch\]"),
        (7, TypeError, "got a int"),
        ([IDS], TypeError, "batch 0 is a Tensor"),
    ],
)
def test_bad_batches_are_refused(batches: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        Distiller(teacher=bert(6, 4, 48), student=bert(4)).suggest(batches)


def test_bad_models_are_refused() -> None:
    distiller = Distiller(teacher=bert(6, 4, 48), student=bert(4))
    with pytest.raises(ValueError, match="at_most must be at least 1"):
        distiller.suggest([BATCH], at_most=0)
    with pytest.raises(ValueError, match="no parameter that requires a gradient"):
        Distiller(teacher=bert(6, 4, 48), student=bert(4).requires_grad_(False)).suggest([BATCH])
    broken = bert(4)
    torch.nn.init.constant_(broken.classifier.weight, float("nan"))
    with pytest.raises(ValueError, match="task part of the loss or its gradient is not finite"):
        Distiller(teacher=bert(6, 4, 48), student=broken, output_weight=0).suggest([BATCH])
