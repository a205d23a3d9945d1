"""The study's models: padding, heads in another order, pre-training, the gate."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from amad_study.data import Sizes, load_task
from amad_study.models import teacher as teachers
from amad_study.models.batches import rows, shuffled_batches
from amad_study.models.gate import Gate, GateError
from amad_study.models.heads import with_heads_in_order
from amad_study.models.pretraining import pretrained_model, pretraining_split
from amad_study.models.size import ModelSize, size_of
from amad_study.models.training import TrainingSettings, train
from amad_study.models.vocabulary import Vocabulary
from amad_study.models.workbench import FAMILIES, Workbench, share_of_words_right
from amad_torch import Distiller

TASKS = ("digit-questions", "digit-captions", "digit-translation")
SMALL = ModelSize(16, 4, 4, 16, encoder_layers=2, decoder_layers=2, vision_layers=2)


@pytest.fixture(scope="module", params=[(task, family) for task in TASKS for family in FAMILIES])
def bench(request: pytest.FixtureRequest) -> Workbench:
    name, family = request.param
    return Workbench(load_task(name, sizes=Sizes(train=24, validation=8, test=8)), family)


def far_from_new(model: nn.Module) -> nn.Module:
    """Weights large enough that heads differ, and biases that are not 0."""
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return model.eval()


def test_a_batch_goes_through_a_distiller(bench: Workbench) -> None:
    teacher = bench.new_model(size_of(bench.family, "teacher"), 0)
    student = bench.new_model(size_of(bench.family, "student-3-heads"), 1)
    distiller = Distiller(teacher=teacher, student=student)
    out = distiller(**rows(bench.train, slice(0, 4)))
    out.loss.backward()
    assert {"attention", "output", "task"} <= set(out)
    pairs = distiller.pairs(**rows(bench.train, slice(0, 4)))
    text = bench.family == "blip" and bench.task.name != "digit-captions"
    assert sum("ross" in pair or "EncDec" in pair for pair in pairs) == (2 if text else 1)
    for name, weight in student.named_parameters():
        frozen = "patch_embedding.read." in name
        assert weight.requires_grad is not frozen
        assert (weight.grad is None) is frozen


def test_heads_in_another_order_say_the_same(bench: Workbench) -> None:
    model = far_from_new(bench.new_model(SMALL, 0)).double()
    batch = {
        name: value.double() if value.is_floating_point() else value
        for name, value in rows(bench.train, slice(0, 4)).items()
    }
    moved = with_heads_in_order(model, 5)
    torch.testing.assert_close(model(**batch)["logits"], moved(**batch)["logits"])
    changed = [
        name
        for (name, one), other in zip(model.named_parameters(), moved.parameters(), strict=True)
        if not torch.equal(one, other)
    ]
    attention = ("ttention", "attn")
    assert changed
    assert all(any(word in name for word in attention) for name in changed)
    if bench.family == "vl-t5":
        assert any("relative_attention_bias" in name for name in changed)
    again = with_heads_in_order(model, 6)
    assert any(
        not torch.equal(one, other)
        for one, other in zip(moved.parameters(), again.parameters(), strict=True)
    )


def test_padding_has_no_say(bench: Workbench) -> None:
    model = far_from_new(bench.new_model(SMALL, 0))
    shortest = int((bench.train["labels"] >= 0).sum(dim=1).argmin())
    alone = bench.encode(bench.task.train, [bench.task.train.examples[shortest]])
    together = rows(bench.train, slice(shortest, shortest + 1))
    said = alone["labels"].shape[1]
    torch.testing.assert_close(
        model(**alone)["logits"], model(**together)["logits"][:, :said], atol=1e-4, rtol=1e-4
    )
    torch.testing.assert_close(model(**alone)["loss"], model(**together)["loss"])


def test_what_is_said_follows_from_the_logits(bench: Workbench) -> None:
    """Greedy speech is what the logits say of it when it is read back as labels."""
    model = far_from_new(bench.new_model(SMALL, 0))
    data = rows(bench.train, slice(0, 3))
    given = {name: value for name, value in data.items() if name != "labels"}
    said = model.say(**given, longest=4)[:, 1:]
    logits = model(**given, labels=said)["logits"]
    first = (said == 2).int().cumsum(dim=1) == 0  # up to the end
    assert torch.equal(logits.argmax(-1)[first], said[first])


def test_the_text_is_never_as_long_as_the_image() -> None:
    task = load_task("digit-questions", sizes=Sizes(train=200, validation=1, test=1))
    bench = Workbench(task, "blip")
    ten = [one for one in task.train.examples if len(one.source.split()) == 10]
    shorter = [one for one in task.train.examples if len(one.source.split()) < 10]
    assert ten or shorter
    encoded = bench.encode(task.train, [*(ten[:1] or []), *shorter[:2]])
    assert encoded["input_ids"].shape[1] != 10
    assert encoded["attention_mask"].shape == encoded["input_ids"].shape


def test_pretraining_asks_both_things() -> None:
    split = pretraining_split(40, seed=0)
    matched = [one for one in split.examples if one.target in ("<yes>", "<no>")]
    assert [one.target for one in matched] == ["<yes>", "<no>"] * 10
    for one in matched:
        own = one.references[0] == one.source
        assert own
    wrong = [one for one in matched if one.target == "<no>"]
    right = {one.source: one.picture for one in matched if one.target == "<yes>"}
    assert all(right.get(one.source) != one.picture for one in wrong)
    for one in split.examples[1::2]:
        missing = iter(one.target.split())
        filled = [next(missing) if word == "<mask>" else word for word in one.source.split()]
        assert " ".join(filled) == one.references[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_pretraining_goes_into_captions(family: str) -> None:
    task = load_task("digit-captions", sizes=Sizes(train=8, validation=1, test=1))
    bench = Workbench(task, family)
    before = bench.new_model(SMALL, 0).state_dict()
    settings = TrainingSettings(steps=2, batch_size=4)
    after = pretrained_model(bench, SMALL, settings, scenes=8, seed=0).state_dict()
    assert set(before) == set(after)
    moved = [name for name in after if not torch.equal(before[name], after[name])]
    assert len(moved) > len(after) / 2


def test_special_words_are_single() -> None:
    vocabulary = Vocabulary.of(["the", "is"], ["is", "7"])
    assert vocabulary.decode(vocabulary.encode("the <mask> is 7 <yes>")) == "the <mask> is 7 <yes>"
    assert vocabulary.decode([1, *vocabulary.encode("is unheard"), 2, 7]) == "is <unknown>"


def test_every_seed_its_own_order_of_data() -> None:
    data = {"labels": torch.arange(10)}
    one, same, other = (
        [batch["labels"].tolist() for batch in shuffled_batches(data, 4, 6, seed)]
        for seed in (1, 1, 2)
    )
    assert one == same != other
    assert sorted([number for batch in one for number in batch][:10]) == list(range(10))


def test_training_lowers_the_loss() -> None:
    task = load_task("digit-questions", sizes=Sizes(train=16, validation=4, test=4))
    bench = Workbench(task, "vl-t5")
    model = bench.new_model(SMALL, 0)
    losses: list[float] = []
    settings = TrainingSettings(steps=40, batch_size=16, learning_rate=1e-2)
    train(model, bench.train, settings, seed=0, on_step=lambda _, out: losses.append(out["loss"]))
    assert losses[-1] < losses[0] / 3
    assert share_of_words_right(model, bench.train) > 60
    assert bench.scores(model, task.train)["accuracy"] > 20


@pytest.mark.parametrize(
    ("score", "others", "blind", "passed"),
    [
        (90, 25, 23, True),
        (42, 39, 40, False),  # names a digit, whatever the picture
        (95, 80, 23, False),  # knows the answers without looking
        (30, 10, 23, False),  # looks, and is hardly better than who does not
    ],
)
def test_the_gate_wants_the_right_picture(
    score: float, others: float, blind: float, passed: bool
) -> None:
    assert Gate(score, others, blind, 100).passed is passed


def test_a_teacher_is_trained_once_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = load_task("digit-questions", sizes=Sizes(train=16, validation=4, test=4))
    bench = Workbench(task, "vl-t5")
    recipe = teachers.TeacherRecipe(SMALL, training=TrainingSettings(steps=2, batch_size=4))
    with pytest.raises(GateError, match="NOT passed"):
        teachers.teacher_for(bench, recipe, tmp_path)
    monkeypatch.setattr(teachers, "train_teacher", lambda *_: pytest.fail("trained again"))
    with pytest.raises(GateError, match="NOT passed"):  # and does not pass by being read
        teachers.teacher_for(bench, recipe, tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(teachers, "run_gate", lambda *_: Gate(90, 20, 20, 4))
    other = replace(recipe, seed=1)
    teacher, gate = teachers.teacher_for(bench, other, tmp_path)
    batch = rows(bench.train, slice(0, 2))
    torch.testing.assert_close(
        teacher(**batch)["logits"], teachers.train_teacher(bench, other)(**batch)["logits"]
    )
    assert gate.passed
    for weights in tmp_path.glob("*.safetensors"):
        weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(ValueError, match="does not match its checksum"):
        teachers.teacher_for(bench, other, tmp_path)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="head_width is 4"):
        Workbench(
            load_task("digit-questions", sizes=Sizes(train=2, validation=1, test=1)), "blip"
        ).new_model(replace(SMALL, width=17), 0)
    with pytest.raises(ValueError, match="heads is 0"):
        replace(SMALL, heads=0)
    with pytest.raises(ValueError, match="expected one of vl-t5, blip"):
        size_of("clip", "teacher")
    with pytest.raises(ValueError, match="no attention that is known"):
        with_heads_in_order(nn.Linear(2, 2), 0)
