"""A distiller in other people's loops: autocast, LoRA, Accelerate, Lightning, TRL."""

import tempfile
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from amad_torch import DistillationCallback, Distiller  # noqa: E402
from tests.distillation.test_accumulation import (  # noqa: E402
    batch,
    close,
    distiller,
    gradients,
    joined,
)
from tests.distillation.test_distiller import gpt2  # noqa: E402
from tests.distillation.test_trainer import rows, trainer  # noqa: E402
from tests.documentation.markdown_blocks import blocks  # noqa: E402

PAGE = Path(__file__).parents[2] / "docs" / "distiller.md"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["bert", "gpt2", "t5"])
def test_autocast_gives_nearly_the_same_gradient(kind: str, dtype: Any) -> None:
    found = distiller(kind)
    with torch.autocast("cpu", dtype):
        out = found(**batch(kind))
    assert out.loss.dtype == torch.float32
    out.loss.backward()
    found_gradients, expected = gradients(found), joined(kind)
    assert close(found_gradients, expected, within=0.1)
    assert all(one.dtype == torch.float32 for one in found_gradients.values())


def test_a_trainer_in_bfloat16(tmp_path: Path) -> None:
    found = trainer(tmp_path, bf16=True)
    found.train()
    assert all("eval_loss" in one for one in found.state.log_history if "eval_runtime" in one)
    assert all(bool(one.isfinite().all()) for one in found.model.parameters())


@pytest.mark.parametrize("task", [None, "CAUSAL_LM"])
def test_lora_students(task: str | None, tmp_path: Path) -> None:
    """Only the adapter is trained and saved, with PEFT's own classes around the student."""
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, target_modules=["c_attn"], task_type=task, fan_in_fan_out=True)
    found = trainer(tmp_path)
    student = peft.get_peft_model(gpt2(3), config)
    model = Distiller(teacher=gpt2(4, 2), student=student)
    again = transformers.Trainer(
        model=model, args=found.args, train_dataset=rows(), eval_dataset=rows()[:4]
    )
    trained = {name for name, one in model.named_parameters() if one.requires_grad}
    before = {name: one.detach().clone() for name, one in model.named_parameters()}
    again.train()
    moved = {name for name, one in model.named_parameters() if not torch.equal(one, before[name])}
    assert moved == trained
    assert all("lora_" in name for name in moved)
    model.save_pretrained(tmp_path / "adapter")
    assert (tmp_path / "adapter" / "adapter_model.safetensors").stat().st_size < 20_000
    assert again._signature_columns[:1] == ["input_ids"]


def test_accelerate_prepares_a_distiller() -> None:
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True)
    try:
        found = distiller("gpt2")
        optimizer = torch.optim.SGD(found.parameters(), lr=1.0)
        loader = torch.utils.data.DataLoader([row | {"unused": 0} for row in rows()], batch_size=4)
        model, optimizer, loader = accelerator.prepare(found, optimizer, loader)
        for given in loader:
            given.pop("unused")
            loss = model(**given).loss
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
        state = accelerator.get_state_dict(model)
        assert all(name.startswith("student.") for name in state)
        assert bool(loss.isfinite())
    finally:
        accelerator.free_memory()


def test_lightning_trains_a_distiller(tmp_path: Path) -> None:
    """The module of the page on distillers."""
    lightning = pytest.importorskip("lightning")
    (block,) = [one for one in blocks(PAGE) if "LightningModule" in one.code]
    names: dict[str, Any] = {}
    exec(block.code, names)
    found = distiller("gpt2")
    before = {name: one.clone() for name, one in found.state_dict().items()}
    given = [{name: row[name] for name in ("input_ids", "labels")} for row in rows()]
    loop = lightning.Trainer(
        accelerator="cpu", max_steps=2, logger=False, default_root_dir=tmp_path,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    loop.fit(names["Distillation"](found), torch.utils.data.DataLoader(given, batch_size=4))
    assert set(loop.callback_metrics) == {"attention", "output", "task"}
    after = found.state_dict()
    assert any(not torch.equal(one, before[name]) for name, one in after.items())
    assert not found.teacher.training
    (file,) = (tmp_path / "checkpoints").glob("*.ckpt")
    saved = torch.load(file, weights_only=True)["state_dict"]
    assert {name.removeprefix("distiller.") for name in saved} == set(after)


def test_trl_trains_a_distiller(tmp_path: Path) -> None:
    trl = pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    tokenizers = pytest.importorskip("tokenizers")
    words = tokenizers.models.WordLevel({f"w{one}": one for one in range(50)}, unk_token="w0")
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer(words), pad_token="w1", eos_token="w0"
    )
    lengths = (7, 3, 5, 4)
    given = datasets.Dataset.from_list(
        [{"input_ids": torch.randint(2, 50, (length,)).tolist()} for length in lengths]
    )
    found = distiller("gpt2")
    (block,) = [one for one in blocks(PAGE) if "trl.SFTTrainer" in one.code]
    names: dict[str, Any] = {}
    exec(block.code, names)
    with tempfile.TemporaryDirectory() as folder:
        loop = names["DistillingSFTTrainer"](
            model=found,
            args=trl.SFTConfig(
                output_dir=folder, max_steps=2, per_device_train_batch_size=2, report_to=[],
                use_cpu=True, bf16=False, disable_tqdm=True, logging_steps=1,
            ),
            train_dataset=given,
            eval_dataset=given,
            processing_class=tokenizer,
            callbacks=[DistillationCallback()],
        )  # fmt: skip
        before = found.student.transformer.wte.weight.detach().clone()
        loop.train()
        evaluated = loop.evaluate()
    assert not torch.equal(found.student.transformer.wte.weight, before)
    entry = next(entry for entry in loop.state.log_history if "loss" in entry)
    parts = sum(entry[name] for name in ("attention", "output", "task"))
    assert entry["loss"] == pytest.approx(parts, rel=1e-3)
    assert evaluated["eval_loss"] > 0


def test_a_forward_pass_put_in_the_distiller_s_place_is_refused() -> None:
    found = distiller("gpt2")
    student = found.student
    found.forward = lambda **batch: student(**batch)
    with pytest.raises(RuntimeError, match=r"gave a CausalLM.*nothing would be distilled.*TRL"):
        found(**batch("gpt2"))
