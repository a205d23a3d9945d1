"""A cell of sentences: everything that decides what one of MiniLM's students becomes."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from amad_study.models.training import TrainingSettings

METHODS = ("ground-truth", "one-to-one-kl", "mean-head-kl", "best-match-kl", "amad-kl")
"""Of those of the runs; ground truth is the teacher's embedding alone, with no attention term."""


@dataclass(frozen=True)
class SentenceCell:
    """One student of MiniLM. Cells that differ in `method` alone are paired.

    Attributes:
        method: one of `METHODS`.
        seed: of the student's first weights, the order of its data, and the order of the
            teacher's heads.
        heads: of the student, in every layer; they share its width.
        weight: of attention, in units of gradient parity, as in `Cell`.
        width, layers: of the student.
        train_sentences, test_sentences: how many there are.
        steps, batch_size, learning_rate: of the student's training.

    Raises:
        ValueError: an unknown method, heads that do not share the width, a number out of range.
    """

    FOLDER: ClassVar[str] = "sentences"
    """Where records are kept, below the folder of a study."""

    method: str
    seed: int
    heads: int = 3
    weight: float = 1.0
    width: int = 96
    layers: int = 3
    train_sentences: int = 4_000
    test_sentences: int = 1_000
    steps: int = 300
    batch_size: int = 32
    learning_rate: float = 3e-3

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method is {self.method!r}, expected one of {', '.join(METHODS)}")
        for name in ("seed", "weight"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 0 or more")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is int and field.name != "seed" and value < 1:
                raise ValueError(f"{field.name} is {value}, expected at least 1")
        if self.width % self.heads:
            raise ValueError(f"heads is {self.heads}, expected a divisor of width = {self.width}")

    @property
    def has_attention(self) -> bool:
        """Whether attention is taught, so that the weight does something."""
        return self.method != "ground-truth"

    @property
    def training(self) -> TrainingSettings:
        """How the student learns."""
        return TrainingSettings(self.steps, self.batch_size, self.learning_rate)

    def as_json(self) -> dict[str, Any]:
        """Every setting, as `from_json` takes it."""
        return asdict(self)

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> "SentenceCell":
        """A cell from its settings; what is left out has its default.

        Raises:
            TypeError: a setting that cells do not have; method or seed missing.
            ValueError: what the cell refuses.
        """
        return cls(**settings)

    @property
    def key(self) -> str:
        """Names the cell, the same on every machine: readable, and with a checksum of it all."""
        told = {
            name: value if isinstance(value, str) else float(value)
            for name, value in self.as_json().items()
        }
        digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]
        return f"sentences-{self.heads}-heads-{self.method}-{self.seed}-{digest}"
