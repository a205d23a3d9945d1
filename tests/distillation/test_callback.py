"""The trainer's log says what the loss is made of, and which heads are aligned."""

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from amad_torch import DistillationCallback, alignment_weights, capture_attention  # noqa: E402
from amad_torch.distillation.callback import evenness, picture  # noqa: E402
from tests.distillation.test_trainer import rows, trainer  # noqa: E402


class Writer:
    """What of a SummaryWriter is used."""

    def __init__(self) -> None:
        self.scalars: list[tuple[str, float, int]] = []
        self.images: list[tuple[str, Any, int]] = []

    def add_scalar(self, *given: Any) -> None:
        self.scalars.append(given)

    def add_image(self, *given: Any) -> None:
        self.images.append(given)

    def flush(self) -> None:
        pass


def test_parts_and_weights_are_logged(tmp_path: Path) -> None:
    writer = Writer()
    found = trainer(tmp_path, logging_steps=1, gradient_accumulation_steps=2)
    joined = {
        name: torch.stack([row[name] for row in rows()[:4]]) for name in ("input_ids", "labels")
    }
    found.train_dataset = rows()[:4]  # so that the first step sees all of them
    found.args.max_steps = 3
    first = found.model(**joined)
    found.add_callback(DistillationCallback(every=2, writer=writer))
    found.train()
    logs = [entry for entry in found.state.log_history if "loss" in entry]
    assert len(logs) == 3
    for name in ("attention", "output", "task"):
        assert logs[0][name] == pytest.approx(float(first[name].detach()), rel=1e-5)
        assert [value for key, value, _ in writer.scalars if key == f"train/{name}"] == [
            log[name] for log in logs
        ]
    noted = [entry for entry in found.state.log_history if "alignment_weights" in entry]
    assert [entry["step"] for entry in noted] == [1, 3]  # steps 0 and 2 have been taken
    ((name, weights),) = noted[0]["alignment_weights"].items()
    assert name == "transformer.h.0.attn <- transformer.h.1.attn"
    assert [len(weights), len(weights[0])] == [4, 3]
    assert [step for _, _, step in writer.images] == [1, 3]
    assert f"alignment_evenness/{name}" in logs[0]
    assert f"alignment_evenness/{name}" not in logs[1]
    assert not found.model.watchers
    assert len(found.model._forward_hooks) == 1  # the distiller's own


def test_weights_are_those_of_the_maps(tmp_path: Path) -> None:
    found = trainer(tmp_path, per_device_train_batch_size=4, max_steps=1)
    found.train_dataset = rows()[:4]
    inputs = {"input_ids": torch.stack([row["input_ids"] for row in rows()[:4]])}
    maps = []
    for model in (found.model.teacher, found.model.student):
        with torch.no_grad(), capture_attention(model) as attention:
            model(**inputs)
        maps.append(attention.maps()[-1])
    expected = alignment_weights(teacher=maps[0], student=maps[1]).mean(0)
    found.add_callback(DistillationCallback(every=1))
    found.train()
    (entry,) = [one for one in found.state.log_history if "alignment_weights" in one]
    ((_, weights),) = entry["alignment_weights"].items()
    assert torch.allclose(torch.tensor(weights), expected, atol=1e-4)


def test_tensorboard_gets_images(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    found = trainer(tmp_path, max_steps=1, logging_steps=1)
    found.args.report_to = ["tensorboard"]
    callback = DistillationCallback(every=1)
    found.add_callback(callback)
    found.train()
    callback.writer.close()
    (file,) = (tmp_path / "runs" / "distillation").iterdir()
    written = file.read_bytes()
    assert b"alignment/transformer.h.0.attn" in written
    assert b"train/attention" in written


def test_evenness_and_pictures() -> None:
    assert evenness(torch.full((2, 4), 0.25)) == pytest.approx(1.0)
    assert evenness(torch.eye(4)) == 0.0
    assert evenness(torch.ones(3, 1)) == 1.0
    image = picture(torch.tensor([[0.25, 0.75]]))
    assert image.shape == (1, 16, 32)
    assert image.max() == 1.0
    assert image[0, 0, 0] == pytest.approx(1 / 3)


def test_wrong_use_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="every must be at least 0"):
        DistillationCallback(every=-1)
    found = trainer(tmp_path)
    with pytest.raises(TypeError, match="must be a Distiller; got GPT2LMHeadModel"):
        DistillationCallback().on_train_begin(
            found.args, found.state, found.control, model=found.model.student
        )
