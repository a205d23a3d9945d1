"""The stock trainer of Transformers takes a distiller for its model."""

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from amad_torch import Distiller  # noqa: E402
from tests.distillation.test_distiller import gpt2  # noqa: E402


def rows() -> list[dict[str, Any]]:
    torch.manual_seed(5)
    tokens = torch.randint(50, (16, 7))
    return [{"input_ids": row, "labels": row, "unused": 3} for row in tokens]


def trainer(folder: Path, **settings: Any) -> Any:
    given = {"per_device_train_batch_size": 2, "max_steps": 4} | settings
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), report_to=[], save_steps=2, eval_strategy="steps", eval_steps=2,
        use_cpu=True, disable_tqdm=True, **given,
    )  # fmt: skip
    return transformers.Trainer(
        model=Distiller(teacher=gpt2(4, 2), student=gpt2(3)),
        args=arguments,
        train_dataset=rows(),
        eval_dataset=rows()[:4],
    )


def trained(found: Any) -> Any:
    return found.model.student.transformer.wte.weight.detach().clone()


def test_training_evaluating_saving_and_resuming(tmp_path: Path) -> None:
    whole = trainer(tmp_path)
    before = trained(whole)
    whole.train()
    assert not torch.equal(trained(whole), before)
    assert all("eval_loss" in entry for entry in whole.state.log_history if "eval_runtime" in entry)
    assert any("eval_loss" in entry for entry in whole.state.log_history)
    again = trainer(tmp_path / "again")
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert torch.equal(trained(again), trained(whole))


def test_gradient_checkpointing_gives_the_same_student(tmp_path: Path) -> None:
    plain, checkpointed = trainer(tmp_path / "a"), trainer(
        tmp_path / "b", gradient_checkpointing=True
    )  # fmt: skip
    plain.train()
    checkpointed.train()
    assert torch.allclose(trained(plain), trained(checkpointed), atol=1e-7)
