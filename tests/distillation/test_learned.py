"""Losses with parameters of their own: made from an example, trained, saved, apart."""

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch import Tensor, nn  # noqa: E402

from amad_torch import AttentionMatch, DistillationCallback, Distiller, cell_mask  # noqa: E402
from amad_torch.peers import distillation_loss  # noqa: E402
from tests.distillation.test_accumulation import batch, gpt2  # noqa: E402
from tests.distillation.test_distiller import BATCH, IDS, REAL, Grid, bert, eager  # noqa: E402

METHODS = ("amad_projected", "align_to_distill")
ONLY = {"output_weight": 0.0, "task_weight": 0.0}


def learning(method: str, **settings: Any) -> Distiller:
    given = {"teacher": bert(6, 4, 48), "student": bert(4), "example": BATCH} | settings
    torch.manual_seed(2)
    return Distiller(method=method, **given)


def moved(found: Distiller) -> Distiller:
    """Away from the identity, which hides much."""
    for parameter in found.learned.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.02)
    return found


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_is_that_by_hand(method: str) -> None:
    options: dict[str, Any] = {"eps": 1e-6} if method == "amad_projected" else {}
    found = moved(learning(method, options=options, temperature=0.5, **ONLY))
    out = found(**BATCH)
    maps = [
        eager(one.eval(), input_ids=IDS, attention_mask=REAL).attentions
        for one in (found.teacher, found.student)
    ]
    modules = list(found.learned.values())
    assert len(modules) == 2
    if method == "amad_projected":
        options["temperature"] = 0.5
    expected = [
        distillation_loss(
            name=method, teacher=maps[0][teacher], student=maps[1][student],
            mask=cell_mask(tokens=REAL), weight=modules[student].weight,
            bias=modules[student].bias, **options,
        )
        for teacher, student in ((1, 0), (3, 1))
    ]  # fmt: skip
    assert torch.allclose(out.attention, torch.stack(expected).sum(), rtol=2e-3)
    out.loss.backward()
    for module in modules:
        assert bool(module.weight.grad.any())


@pytest.mark.parametrize("method", METHODS)
def test_learned_parameters_are_apart(method: str, tmp_path: Path) -> None:
    found = learning(method)
    assert {name.split(".")[0] for name in found.state_dict()} == {"student", "learned"}
    mine = {id(one) for one in found.parameters()}
    students = {id(one) for one in found.student.parameters()}
    assert mine == students | {id(one) for one in found.learned.parameters()}
    found.save_pretrained(tmp_path)
    names = transformers.BertForSequenceClassification.from_pretrained(tmp_path).state_dict()
    assert names.keys() == found.student.state_dict().keys()
    other = learning(method)
    other.load_state_dict(moved(found).state_dict())
    assert torch.equal(other(**BATCH).loss, found(**BATCH).loss)


def test_making_them_moves_nothing() -> None:
    """Neither the student's mode nor, with it, dropout; an even start is the plain variant."""
    student = bert(4, attention_probs_dropout_prob=0.5).train()
    found = learning("amad_projected", student=student, **ONLY)
    assert torch.equal(torch.get_rng_state(), torch.manual_seed(2).get_state())
    assert student.training
    plain = Distiller(teacher=found.teacher, student=student, method="amad_kl", **ONLY)
    student.eval()
    assert torch.allclose(found(**BATCH).loss, plain(**BATCH).loss, rtol=2e-3)


@pytest.mark.parametrize("method", METHODS)
def test_accumulated_batches_give_the_gradient_of_the_joined_one(method: str) -> None:
    settings: dict[str, Any] = {"method": method, "example": batch("gpt2")}
    teacher = gpt2(4, 2)
    whole, parts = (
        moved_alike(Distiller(teacher=teacher, student=gpt2(3), **settings)) for _ in range(2)
    )
    rows = batch("gpt2")
    whole(**rows).loss.backward()
    items = (rows["labels"][:, 1:] != -100).sum()
    for chosen in (slice(0, 3), slice(3, 4), slice(4, 8)):
        shard = {name: one[chosen] for name, one in rows.items()}
        parts.distil(**shard, num_items_in_batch=items, num_samples_in_batch=8).loss.backward()
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        size = float(one.grad.abs().max())
        assert torch.allclose(one.grad, other.grad, atol=2e-6 + 2e-5 * size)


def moved_alike(found: Distiller) -> Distiller:
    torch.manual_seed(4)
    return moved(found)


def trainer(folder: Path, **settings: Any) -> Any:
    pytest.importorskip("accelerate")
    torch.manual_seed(6)
    tokens = torch.randint(50, (16, 7))
    rows = [{"input_ids": row, "labels": row} for row in tokens]
    example = {"input_ids": tokens[:2]}
    torch.manual_seed(7)
    found = Distiller(
        teacher=gpt2(4, 2), student=gpt2(3), method="align_to_distill", example=example
    )
    return transformers.Trainer(
        model=found,
        args=transformers.TrainingArguments(
            output_dir=str(folder), report_to=[], save_steps=2, use_cpu=True, disable_tqdm=True,
            per_device_train_batch_size=2, max_steps=4, learning_rate=0.01,
        ),
        train_dataset=rows,
        callbacks=[DistillationCallback(every=2)],
    )  # fmt: skip


def test_a_trainer_trains_saves_and_resumes_them(tmp_path: Path) -> None:
    whole = trainer(tmp_path)
    before = {name: one.clone() for name, one in whole.model.learned.state_dict().items()}
    whole.train()
    after = whole.model.learned.state_dict()
    assert not any(
        torch.equal(after[name], one) for name, one in before.items() if "weight" in name
    )
    again = trainer(tmp_path / "again")
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    for name, one in again.model.state_dict().items():
        assert torch.equal(one, whole.model.state_dict()[name])


def test_layers_that_are_shared_have_parameters_for_each_run() -> None:
    torch.manual_seed(1)
    sizes = {"vocab_size": 50, "hidden_size": 24, "intermediate_size": 32, "embedding_size": 12}
    teacher, student = (
        transformers.AlbertModel(
            transformers.AlbertConfig(num_hidden_layers=2, num_attention_heads=heads, **sizes)
        )
        for heads in (6, 4)
    )
    found = Distiller(
        teacher=teacher, student=student, method="align_to_distill", example={"input_ids": IDS}
    )
    path = "encoder/albert_layer_groups/0/albert_layers/0/attention"
    assert list(found.learned) == [f"{path}<-{path}", f"{path}#2<-{path}#2"]
    assert all(one.weight.shape == (6, 4) for one in found.learned.values())


def test_the_same_pair_twice_has_parameters_twice() -> None:
    matches = [
        AttentionMatch(layers=[(3, 1)], method=method)
        for method in ("amad_kl", "align_to_distill", "amad_projected")
    ]
    found = learning("amad_kl", matches=matches)
    assert [key.partition("#")[2] for key in found.learned] == ["2", "3"]
    found(**BATCH).loss.backward()
    assert all(bool(one.weight.grad.any()) for one in found.learned.values())


def test_alignment_weights_are_those_of_projected_heads() -> None:
    found = learning("amad_projected", temperature=0.01, **ONLY)
    seen: list[Tensor] = []
    found.watchers.append(lambda matched, alignment: seen.append(alignment()))
    found(**BATCH)
    for parameter in found.learned.parameters():
        parameter.data.normal_()
    found(**BATCH)
    assert len(seen) == 4
    assert not torch.allclose(seen[0], seen[2], atol=1e-3)


def test_cropped_maps() -> None:
    images = torch.linspace(-3, 3, 2 * 12 * 12 * 12).reshape(2, 12, 12, 12).sin()
    found = Distiller(
        teacher=Grid(6, 4, 2), student=Grid(4, 4, 1), crop=(2, 1), method="amad_projected",
        example={"images": images}, **ONLY,
    )  # fmt: skip
    assert len(next(iter(found.learned.values())).bias) == 16 * 16
    assert bool(found(images=images).loss.isfinite())


class TestWhatIsMissingIsSaid:
    def test_another_length(self) -> None:
        found = learning("amad_projected")
        with pytest.raises(ValueError, match=r"<- .*49 cells.*got maps of 25: pad all batches"):
            found(input_ids=IDS[:, :5], attention_mask=REAL[:, :5], labels=BATCH["labels"])

    def test_another_pair(self) -> None:
        found = learning("align_to_distill", layers=[(0, 0)])
        found.matches = [AttentionMatch(layers=[(0, 1)])]
        with pytest.raises(ValueError, match=r"'align_to_distill' has no parameters.*example="):
            found(**BATCH)

    def test_suggestions_are_for_another_distiller(self) -> None:
        found = learning("align_to_distill", layers=[(0, 0)])
        before = list(found.learned)
        suggestion = found.suggest([BATCH])
        assert list(found.learned) == before
        with pytest.raises(ValueError, match="make another"):
            suggestion.apply(found)
        again = learning("align_to_distill", **suggestion.settings)
        assert len(again.learned) == 2

    def test_no_attention_needs_no_example(self) -> None:
        found = learning("amad_projected", attention_weight=0.0, example=None)
        assert isinstance(found.learned, nn.ModuleDict)
        assert not len(found.learned)
