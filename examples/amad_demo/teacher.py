"""Making the teacher from nothing, and keeping its weights.

The command for people is `amad demo --remake-teacher`.
"""

# mypy: allow-untyped-calls
# (some of what is called here has no annotations upstream)

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import nn

from amad_core.files import write_atomically
from amad_demo.batches import draw_questions, shuffled_batches
from amad_demo.gate import GateReport
from amad_demo.model import TEACHER_SIZE, VisualQuestionModel
from amad_demo.region_reader import RegionReader, train_region_reader

SHIPPED = Path(__file__).parent / "weights"
_WEIGHTS = "teacher.safetensors"
_FACTS = "teacher.json"


class DamagedTeacherError(Exception):
    """The teacher's files are missing, or are not what was written."""


@dataclass(frozen=True)
class TeacherRecipe:
    """How the teacher is trained."""

    seed: int = 0
    questions: int = 30_000
    batch_size: int = 64
    steps: int = 1500
    learning_rate: float = 2e-3


def train_teacher(
    recipe: TeacherRecipe, on_step: Callable[[float], None] | None = None
) -> VisualQuestionModel:
    """Train a teacher on ground truth alone, from random weights.

    Args:
        recipe: seed, amount of data and length of training.
        on_step: called with the training loss after every step.

    Returns:
        The teacher, frozen.
    """
    reader = train_region_reader(recipe.seed)
    torch.manual_seed(recipe.seed)
    teacher = VisualQuestionModel(TEACHER_SIZE, reader)
    trained = [weight for weight in teacher.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=recipe.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=recipe.steps, pct_start=0.1
    )
    data = draw_questions("train", recipe.questions, recipe.seed)
    for batch in shuffled_batches(data, recipe.batch_size, recipe.steps, recipe.seed):
        loss = teacher(**batch.inputs)["loss"]
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        if on_step is not None:
            on_step(loss.item())
    return teacher.eval().requires_grad_(False)


def save_teacher(
    teacher: VisualQuestionModel, directory: Path, recipe: TeacherRecipe, gate: GateReport
) -> str:
    """Write weights (as float16) and the facts about them; return the SHA-256 of the weights."""
    # named_parameters lists the word embedding once, though T5 uses it in three places.
    weights = save({name: weight.half() for name, weight in teacher.named_parameters()})
    checksum = hashlib.sha256(weights).hexdigest()
    facts = {
        "sha256": checksum,
        "size": asdict(TEACHER_SIZE),
        "recipe": asdict(recipe),
        "gate": asdict(gate),
        "torch": torch.__version__,
    }
    write_atomically(directory / _WEIGHTS, weights)
    write_atomically(directory / _FACTS, json.dumps(facts, indent=2) + "\n")
    return checksum


def load_teacher(directory: Path = SHIPPED) -> tuple[VisualQuestionModel, str]:
    """Load a teacher, frozen, after checking its weights against their SHA-256.

    Returns:
        The teacher and the checksum of its weights.

    Raises:
        DamagedTeacherError: a file is missing or unreadable, the checksum differs, or the weights
            are those of another kind of model.
    """
    facts, content = _read_facts(directory / _FACTS), _read(directory / _WEIGHTS)
    checksum = hashlib.sha256(content).hexdigest()
    if checksum != facts["sha256"]:
        raise DamagedTeacherError(
            f"{directory / _WEIGHTS} has the SHA-256 {checksum[:12]}..., expected "
            f"{str(facts['sha256'])[:12]}...: the file is damaged or was replaced; "
            "make a new teacher with `amad demo --remake-teacher`"
        )
    teacher = VisualQuestionModel(TEACHER_SIZE, RegionReader())
    _copy_weights(load(content), teacher, directory / _WEIGHTS)
    return teacher.eval().requires_grad_(False), checksum


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DamagedTeacherError(f"the teacher's file cannot be read: {error}") from None


def _read_facts(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(_read(path))
    except ValueError as error:
        raise DamagedTeacherError(f"{path} is damaged: {error}") from None
    if not isinstance(facts, dict) or "sha256" not in facts:
        raise DamagedTeacherError(f"{path} is damaged: it names no sha256")
    return facts


@torch.no_grad()
def _copy_weights(
    weights: dict[str, torch.Tensor], teacher: VisualQuestionModel, path: Path
) -> None:
    expected = dict(teacher.named_parameters())
    shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
    if shapes != {name: tuple(weight.shape) for name, weight in expected.items()}:
        raise DamagedTeacherError(f"{path} holds the weights of another kind of model")
    for name, weight in expected.items():
        weight.copy_(weights[name])
