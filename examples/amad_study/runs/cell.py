"""A cell: everything that decides what one student becomes, and the key that it is known by."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from amad_study.models.size import size_of
from amad_study.models.teacher import TeacherRecipe
from amad_study.models.training import TrainingSettings
from amad_study.runs.methods import METHODS

STARTS = ("drawn", "heads of the teacher", "pre-trained")


@dataclass(frozen=True)
class Cell:
    """One student of the study. Cells that differ in `method` alone are paired.

    Attributes:
        family, task: what model learns what.
        method: a key of `METHODS`.
        seed: of the student's first weights, the order of its data, and the order of the
            teacher's heads.
        teacher, student: sizes by name.
        teacher_seed: which teacher.
        teacher_steps: how long it learned from ground truth.
        pretraining_steps: how long it learned from other scenes before; 0: not at all.
        weight: of attention, in units of gradient parity: at 1, attention pulls at the untrained
            student as hard as its task does.
        output_weight: of the teacher's answers.
        temperature: of AMAD's weights at the beginning.
        last_temperature: at the end, gone to in equal ratios; `None`: as at the beginning.
        release: the share of the steps after which attention is taught no longer; 1: never.
        layers: a layer map by its name.
        parts: paths below which attention is compared; none: all.
        start: `"drawn"`; `"heads of the teacher"`: the student begins as a part of it;
            `"pre-trained"`: on other scenes, as long as its teacher was.
        train_examples, test_examples: how many there are.
        steps, batch_size, learning_rate: of the student's training.

    Raises:
        ValueError: an unknown name, or a number that is out of range.
    """

    FOLDER: ClassVar[str] = "cells"
    """Where records are kept, below the folder of a study."""

    family: str
    task: str
    method: str
    seed: int
    teacher: str = "teacher"
    student: str = "student-3-heads"
    teacher_seed: int = 0
    teacher_steps: int = 2000
    pretraining_steps: int = 0
    weight: float = 1.0
    output_weight: float = 1.0
    temperature: float = 1.0
    last_temperature: float | None = None
    release: float = 1.0
    layers: str = "uniform"
    parts: tuple[str, ...] = ()
    start: str = "drawn"
    train_examples: int = 4_000
    test_examples: int = 1_000
    steps: int = 600
    batch_size: int = 48
    learning_rate: float = 3e-3

    def __post_init__(self) -> None:
        size_of(self.family, self.teacher), size_of(self.family, self.student)
        if self.method not in METHODS:
            raise ValueError(f"method is {self.method!r}, expected one of {', '.join(METHODS)}")
        if self.start not in STARTS:
            raise ValueError(f"start is {self.start!r}, expected one of {', '.join(STARTS)}")
        for name in ("weight", "output_weight", "seed", "teacher_seed", "pretraining_steps"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 0 or more")
        if self.start == "pre-trained" and not self.pretraining_steps:
            raise ValueError("start is 'pre-trained', but pretraining_steps is 0")
        for name in ("temperature", "last_temperature"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value}, expected more than 0")
        if not 0 < self.release <= 1:
            raise ValueError(f"release is {self.release}, expected more than 0, at most 1")
        if not METHODS[self.method].has_temperature and self.temperature_is_set:
            raise ValueError(f"temperature is set, but {self.method} has none: leave it at 1")
        for name in ("train_examples", "test_examples", "teacher_steps", "steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")

    @property
    def has_attention(self) -> bool:
        """Whether attention is taught, so that the weight does something."""
        return METHODS[self.method].attention is not None

    @property
    def temperature_is_set(self) -> bool:
        """Whether it is another than AMAD's own, or changes."""
        return self.temperature != 1 or self.last_temperature is not None

    def as_json(self) -> dict[str, Any]:
        """Every setting, as `from_json` takes it."""
        told = {**asdict(self), "parts": list(self.parts)}
        if self.release == 1:
            del told["release"]  # which came later: keys without it stay as they were
        return told

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> "Cell":
        """A cell from its settings; what is left out has its default.

        Raises:
            ValueError: a setting that cells do not have; settings missing.
        """
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(settings) - known):
            raise ValueError(f"cell has {unknown[0]!r}, expected only {', '.join(sorted(known))}")
        missing = {"family", "task", "method", "seed"} - set(settings)
        if missing:
            raise ValueError(f"cell lacks {sorted(missing)[0]!r}")
        return cls(**{**settings, "parts": tuple(settings.get("parts", ()))})

    @property
    def key(self) -> str:
        """Names the cell, the same on every machine: readable, and with a checksum of it all."""
        told = {
            name: float(value) if isinstance(value, float | int) else value
            for name, value in self.as_json().items()
        }
        digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]
        return f"{self.task}-{self.family}-{self.method}-{self.seed}-{digest}"

    @property
    def teacher_recipe(self) -> TeacherRecipe:
        """How its teacher comes about."""
        return TeacherRecipe(
            size=size_of(self.family, self.teacher),
            seed=self.teacher_seed,
            training=TrainingSettings(steps=self.teacher_steps, learning_rate=2e-3),
            pretraining=self.pretraining if self.pretraining_steps else None,
        )

    @property
    def pretraining(self) -> TrainingSettings:
        """How models learn from other scenes, where they do."""
        return TrainingSettings(steps=self.pretraining_steps, learning_rate=2e-3)

    @property
    def training(self) -> TrainingSettings:
        """How the student learns."""
        return TrainingSettings(self.steps, self.batch_size, self.learning_rate)

    def temperature_after(self, step: int) -> float:
        """AMAD's temperature when so many steps are done."""
        if self.last_temperature is None:
            return self.temperature
        ratio = self.last_temperature / self.temperature
        return float(self.temperature * ratio ** (step / self.steps))
