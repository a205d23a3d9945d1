"""Training: the one loop by which teachers and students learn."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from amad_study.models.batches import Batch, shuffled_batches


@dataclass(frozen=True)
class TrainingSettings:
    """How long and how fast a model learns: AdamW, a rate that rises and falls once."""

    steps: int = 600
    batch_size: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")


def train(
    model: nn.Module,
    data: Batch,
    settings: TrainingSettings,
    *,
    seed: int,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
) -> None:
    """Train a model, or a distiller's student and what its loss has to learn.

    Args:
        model: gives `loss` and perhaps its parts.
        data: training examples as tensors.
        settings: steps, batch size, rate.
        seed: decides the order of the data, whatever the model.
        on_step: called with the number of steps done, and the loss and its parts.

    Raises:
        FloatingPointError: the loss is no finite number.
    """
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.steps + 1, pct_start=0.1
    )
    model.train()
    batches = shuffled_batches(data, settings.batch_size, settings.steps, seed)
    for step, batch in enumerate(batches, start=1):
        out = model(**batch)
        loss = out["loss"]
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"the loss is {float(loss)} in step {step}: give a smaller weight or rate"
            )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        if on_step is not None:
            parts = {name: value.item() for name, value in out.items() if value.dim() == 0}
            on_step(step, parts)
    model.eval()
