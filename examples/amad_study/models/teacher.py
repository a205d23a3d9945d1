"""Teachers: trained on ground truth, let through by the gate, kept in files."""

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
from amad_study.models.gate import Gate, GateError, run_gate
from amad_study.models.pretraining import pretrained_model
from amad_study.models.size import ModelSize
from amad_study.models.training import TrainingSettings, train
from amad_study.models.workbench import Workbench

PRETRAINING_SCENES = 20_000
_TRAINING = TrainingSettings(steps=3000, learning_rate=2e-3)


@dataclass(frozen=True)
class TeacherRecipe:
    """How a teacher comes about.

    Attributes:
        size: widths, heads and layers.
        seed: of its first weights and the order of its data.
        training: on the task's ground truth.
        pretraining: before that, on other scenes with captions; `None`: not at all.
        pretraining_scenes: how many.
    """

    size: ModelSize
    seed: int = 0
    training: TrainingSettings = _TRAINING
    pretraining: TrainingSettings | None = None
    pretraining_scenes: int = PRETRAINING_SCENES

    def as_json(self) -> dict[str, Any]:
        """All settings."""
        return asdict(self)


def train_teacher(
    bench: Workbench,
    recipe: TeacherRecipe,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
) -> nn.Module:
    """Train a teacher from nothing; it comes back frozen, in eval mode, and was not judged."""
    if recipe.pretraining is None:
        teacher = bench.new_model(recipe.size, recipe.seed)
    else:
        teacher = pretrained_model(
            bench,
            recipe.size,
            recipe.pretraining,
            scenes=recipe.pretraining_scenes,
            seed=recipe.seed,
        )
    train(teacher, bench.train, recipe.training, seed=recipe.seed, on_step=on_step)
    return teacher.eval().requires_grad_(False)


def teacher_for(
    bench: Workbench,
    recipe: TeacherRecipe,
    folder: Path,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
) -> tuple[nn.Module, Gate]:
    """The teacher of a recipe: read from the folder, or trained, judged and written there.

    A teacher that failed the gate is written down too, so that nobody trains it again.

    Raises:
        GateError: it does not use the picture, or is not good enough.
        ValueError: its files are damaged.
    """
    facts_path, weights_path = (
        folder / f"{_name(bench, recipe)}.{end}" for end in ("json", "safetensors")
    )
    if not facts_path.exists():
        teacher = train_teacher(bench, recipe, on_step)
        gate = run_gate(bench, teacher)
        content = save({name: one.contiguous() for name, one in teacher.named_parameters()})
        facts = {
            "recipe": recipe.as_json(),
            "task": bench.task.name,
            "family": bench.family,
            "gate": gate.as_json(),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(weights_path, content)
        write_atomically(facts_path, json.dumps(facts, indent=1) + "\n")
    return _read(bench, recipe, facts_path, weights_path)


def _read(
    bench: Workbench, recipe: TeacherRecipe, facts_path: Path, weights_path: Path
) -> tuple[nn.Module, Gate]:
    gate, checksum = _read_facts(facts_path)
    if not gate.passed:
        raise GateError(f"the teacher of {bench.family} for {bench.task.name}: {gate}")
    content = weights_path.read_bytes()
    if hashlib.sha256(content).hexdigest() != checksum:
        raise ValueError(
            f"{weights_path} does not match its checksum in {facts_path.name}: delete both files, "
            "and the teacher is trained anew"
        )
    teacher = bench.new_model(recipe.size, recipe.seed)
    weights = load(content)
    with torch.no_grad():
        for name, one in teacher.named_parameters():
            one.copy_(weights[name])
    return teacher.eval().requires_grad_(False), gate


def _read_facts(path: Path) -> tuple[Gate, str]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        measured = {name: value for name, value in facts["gate"].items() if name != "passed"}
        return Gate(**measured), str(facts["sha256"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged ({type(error).__name__}: {error}): delete it, and the teacher is "
            "trained anew"
        ) from None


def _name(bench: Workbench, recipe: TeacherRecipe) -> str:
    """Tells teachers apart: by task, how much of it there is, family, and the whole recipe."""
    told = {**recipe.as_json(), "examples": len(bench.task.train), "words": bench.vocabulary.words}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]
    return f"{bench.task.name}-{bench.family}-{digest}"
