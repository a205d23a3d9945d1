"""Several batches make up one step: the gradient is that of the joined batch."""

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch import Tensor  # noqa: E402

from amad_torch import Distiller, output_loss  # noqa: E402
from tests.distillation.test_distiller import bert, gpt2, t5  # noqa: E402

LENGTHS = [7, 2, 6, 3, 7, 7, 2, 4]
"""Real tokens of each sample: pairs of them have 9, 9, 14 and 6."""


def batch(kind: str, samples: int = 8) -> dict[str, Tensor]:
    torch.manual_seed(5)
    real = (torch.arange(7) < torch.tensor(LENGTHS)[:, None]).long()
    ids = torch.randint(2, 50, (8, 7))
    labels = {
        "bert": torch.arange(8) % 2,
        "gpt2": ids.masked_fill(real == 0, -100),
        "t5": torch.randint(2, 50, (8, 5)).masked_fill(real[:, :5] == 0, -100),
    }[kind]
    found = {"input_ids": ids, "attention_mask": real, "labels": labels}
    return {name: one[:samples] for name, one in found.items()}


def distiller(kind: str, **settings: Any) -> Distiller:
    teacher, student = {
        "bert": lambda: (bert(6), bert(4)),
        "gpt2": lambda: (gpt2(4, 2), gpt2(3)),
        "t5": lambda: (t5(6, 2), t5(4, 2)),
    }[kind]()
    return Distiller(teacher=teacher, student=student, **settings)


def gradients(found: Distiller) -> dict[str, Tensor]:
    return {
        name: one.grad for name, one in found.student.named_parameters() if one.grad is not None
    }


def joined(kind: str, samples: int = 8, **settings: Any) -> dict[str, Tensor]:
    found = distiller(kind, **settings)
    found(**batch(kind, samples)).loss.backward()
    return gradients(found)


def close(found: dict[str, Tensor], expected: dict[str, Tensor], within: float = 1e-5) -> bool:
    assert set(found) == set(expected)
    size = max(float(one.abs().max()) for one in expected.values())
    return all(torch.allclose(found[name], expected[name], atol=within * size) for name in expected)


def by_trainer(folder: Path, kind: str, samples: int, **settings: Any) -> dict[str, Tensor]:
    """The one step of SGD that a trainer takes at a rate of 1."""
    pytest.importorskip("accelerate")
    rows = batch(kind, samples)
    found = distiller(kind, **settings)
    before = {name: one.detach().clone() for name, one in found.student.named_parameters()}
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), report_to=[], use_cpu=True, disable_tqdm=True, save_strategy="no",
        per_device_train_batch_size=2, gradient_accumulation_steps=4, num_train_epochs=1,
        max_grad_norm=0.0, optim="sgd", learning_rate=1.0,
    )  # fmt: skip
    transformers.Trainer(
        model=found,
        args=arguments,
        train_dataset=[{name: one[row] for name, one in rows.items()} for row in range(samples)],
    ).train()
    return {name: before[name] - one.detach() for name, one in found.student.named_parameters()}


@pytest.mark.thin(2)
@pytest.mark.parametrize("samples", [8, 6])  # four batches; three, as at the end of an epoch
@pytest.mark.parametrize("kind", ["bert", "gpt2", "t5"])
def test_the_stock_trainer(kind: str, samples: int, tmp_path: Path) -> None:
    found = by_trainer(tmp_path, kind, samples)
    expected = joined(kind, samples)
    moved = {name: one for name, one in found.items() if name in expected}
    assert close(moved, expected, within=1e-5)  # as differences of weights


@pytest.mark.parametrize("part", ["attention", "output", "task"])
@pytest.mark.parametrize("kind", ["bert", "gpt2", "t5"])
def test_a_loop_of_ones_own(kind: str, part: str) -> None:
    weights = {f"{one}_weight": float(one == part) for one in ("attention", "output", "task")}
    found, whole = distiller(kind, **weights), batch(kind)
    counted = whole["labels"][:, 1:] if kind == "gpt2" else whole["labels"]
    items = (counted != -100).sum()
    for rows in (slice(0, 3), slice(3, 4), slice(4, 8)):
        shard = {name: one[rows] for name, one in whole.items()}
        found.distil(**shard, num_items_in_batch=items, num_samples_in_batch=8).loss.backward()
    assert close(gradients(found), joined(kind, **weights))


@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_a_batch_without_labels_that_count_is_no_nan(kind: str) -> None:
    found, empty = distiller(kind), batch(kind)
    empty = empty | {"labels": torch.full_like(empty["labels"], -100)}
    out = found(**empty)
    assert float(out.task.detach()) == float(out.output.detach()) == 0.0
    out.loss.backward()
    assert all(bool(one.isfinite().all()) for one in gradients(found).values())


def test_the_output_part_counts_the_positions_that_predict_labels() -> None:
    """As the task part does: neither a prompt's own tokens nor what follows the last label."""
    found, whole = distiller("gpt2", attention_weight=0.0, task_weight=0.0), batch("gpt2")
    whole["labels"] = torch.full((8, 7), -100)
    whole["labels"][:, 3] = 5
    out = found(**whole)
    with torch.no_grad():
        wanted = found.teacher(**(whole | {"labels": None})).logits
    expected = output_loss(teacher=wanted[:, 2], student=out.logits[:, 2], temperature=2.0)
    assert torch.allclose(out.output, expected)
