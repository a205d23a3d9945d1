"""Training one student: a plain PyTorch loop around a distiller."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from amad_demo.batches import Batch, shuffled_batches
from amad_torch import Distiller


@dataclass(frozen=True)
class TrainingSettings:
    """Everything about the training of a student that is the same for all methods."""

    steps: int = 250
    batch_size: int = 64
    learning_rate: float = 3e-3
    questions: int = 3000


def train_student(
    distiller: Distiller,
    *,
    data: Batch,
    settings: TrainingSettings,
    seed: int,
    on_step: Callable[[int, float], None],
) -> None:
    """Train the distiller's student.

    Args:
        distiller: of teacher and student.
        data: the training questions.
        settings: steps, batch size, learning rate.
        seed: decides the order of the data.
        on_step: called with the number of steps done and the task's loss.
    """
    trained = [weight for weight in distiller.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.steps, pct_start=0.1
    )
    batches = shuffled_batches(data, settings.batch_size, settings.steps, seed)
    for step, batch in enumerate(batches, start=1):
        out = distiller(**batch.inputs)
        optimizer.zero_grad()
        out.loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        on_step(step, float(out["task"].detach()))
