"""The stock trainer of Transformers takes a distiller for its model."""

import signal
import sys
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from amad_torch import Distiller  # noqa: E402
from tests.distillation.test_distiller import gpt2  # noqa: E402
from tests.support.processes import running  # noqa: E402


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


@pytest.mark.parametrize(
    "name", ["activation_checkpointing_enable", "gradient_checkpointing_enable"]
)
@pytest.mark.parametrize("known", [True, False])
def test_checkpointing_by_either_name(
    name: str, known: bool, recwarn: pytest.WarningsRecorder
) -> None:
    student = torch.nn.Linear(2, 2) if not known else gpt2(3)
    asked: list[Any] = []
    if not known:  # as in Transformers before 5.24
        student.gradient_checkpointing_enable = lambda given, **options: asked.append(given)
    getattr(Distiller(teacher=gpt2(3), student=student), name)()
    if known:
        function = student.transformer._gradient_checkpointing_func
        asked.append(function.keywords)
    assert asked == [{"use_reentrant": False}]
    assert [str(one.message) for one in recwarn if "checkpointing" in str(one.message)] == []


RUN_OF_FOUR_STEPS = """
import os, signal, sys
from pathlib import Path
from transformers import TrainerCallback
from tests.distillation.test_trainer import with_dropout

class Killed(TrainerCallback):
    def on_step_end(self, args, state, control, **others):
        if state.global_step == 3:
            os.kill(os.getpid(), signal.SIGKILL)

found = with_dropout(Path(sys.argv[1]))
found.add_callback(Killed())
found.train()
"""


def with_dropout(folder: Path) -> Any:
    """A trainer whose numbers depend on the generator of random numbers at every step."""
    found = trainer(folder, logging_steps=1)
    for module in found.model.student.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.3
    return found


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="a signal that this system lacks")
def test_a_run_that_is_killed_goes_on_with_the_same_numbers(tmp_path: Path) -> None:
    whole = with_dropout(tmp_path / "whole")
    whole.train()
    killed = tmp_path / "killed"
    with running([sys.executable, "-c", RUN_OF_FOUR_STEPS, killed], stderr=PIPE) as process:
        errors = process.communicate(timeout=200)[1]
    assert process.returncode == -signal.SIGKILL, errors
    again = with_dropout(killed)
    again.train(resume_from_checkpoint=True)
    assert torch.equal(trained(again), trained(whole))
    losses = [
        [entry["loss"] for entry in found.state.log_history if "loss" in entry]
        for found in (again, whole)
    ]
    assert losses[0] == losses[1]
    other = trainer(tmp_path / "other")
    other.train()
    assert not torch.equal(trained(other), trained(whole))  # dropout was at work


def test_label_smoothing_which_would_drop_the_loss_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="label_smoothing_factor"):
        trainer(tmp_path, label_smoothing_factor=0.1).train()
