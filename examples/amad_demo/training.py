"""Training one student: the place to see how AMAD goes into a PyTorch training loop."""

# mypy: allow-untyped-calls
# (some of what is called here has no annotations upstream)

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from amad_demo.attention import AttentionLoss
from amad_demo.batches import Batch, shuffled_batches
from amad_demo.model import VisualQuestionModel


@dataclass(frozen=True)
class TrainingSettings:
    """Everything about the training of a student that is the same for all methods."""

    steps: int = 250
    batch_size: int = 64
    learning_rate: float = 3e-3
    questions: int = 3000


def train_student(
    student: VisualQuestionModel,
    *,
    teacher: VisualQuestionModel,
    data: Batch,
    settings: TrainingSettings,
    seed: int,
    attention_loss: AttentionLoss | None = None,
    attention_weight: float = 0.0,
    on_step: Callable[[int, float], None] | None = None,
) -> None:
    """Train a student on ground truth, and on the teacher's attention if a loss for it is given.

    Args:
        student: is changed in place.
        teacher: frozen; only asked for its attention maps.
        data: the training questions.
        settings: steps, batch size, learning rate.
        seed: decides the order of the data.
        attention_loss: compares the attention maps of teacher and student.
        attention_weight: how much the attention loss counts beside the task's own loss.
        on_step: called with the number of steps done and the task's loss.
    """
    trained = [weight for weight in student.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.steps, pct_start=0.1
    )
    batches = shuffled_batches(data, settings.batch_size, settings.steps, seed)
    for step, batch in enumerate(batches, start=1):
        student_output = student(batch)
        task_loss = nn.functional.cross_entropy(student_output.logits, batch.answer)
        loss = task_loss

        if attention_loss is not None:
            with torch.no_grad():
                teacher_output = teacher(batch)
            loss = loss + attention_weight * attention_loss(
                teacher_output, student_output, batch.mask
            )

        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        if on_step is not None:
            on_step(step, task_loss.item())
