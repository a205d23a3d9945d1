"""The results of the demo as a JSON file: one entry for each finished student."""

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from amad_core.files import write_atomically

FORMAT = 2


class DamagedResultsError(Exception):
    """The results file is not what the demo wrote."""


@dataclass(frozen=True)
class StudentResult:
    """All that was measured on one student.

    Attributes:
        method: a key of `METHODS`.
        seed: of initialisation, data and their order.
        cell: the key by which the study knows such a student.
        accuracy: right answers to questions about unseen digits, in percent.
        accuracy_by_steps: the same, of questions that take one, two and three steps.
        amad_loss: AMAD's loss between teacher and student on those questions, lower is better.
        one_to_one_loss: one-to-one loss on the same questions, lower is better.
        seconds: of processor time, for training with the evaluations in between.
        curve: steps, and right answers to validation questions in percent.
        weights_before: alignment weights `[Ht][Hs]` by pair of layers, before training.
        weights_after: the same, after training.
        examples: single questions, the answers of both models, and where they look.
    """

    method: str
    seed: int
    cell: str
    accuracy: float
    accuracy_by_steps: list[float]
    amad_loss: float
    one_to_one_loss: float
    seconds: float
    curve: list[tuple[int, float]]
    weights_before: dict[str, list[list[float]]]
    weights_after: dict[str, list[list[float]]]
    examples: list[dict[str, Any]]


@dataclass
class Results:
    """The contents of `results.json`.

    Attributes:
        config: every setting that a student's result depends on, except method and seed.
        versions: of Python, the libraries and this code, on which they depend, too.
        teacher: its scores on the same questions, and its gate.
        students: the finished students, in the order in which they finished.
        conclusion: what the numbers say, in words.
    """

    config: dict[str, Any]
    versions: dict[str, str]
    teacher: dict[str, Any] = field(default_factory=dict)
    students: list[StudentResult] = field(default_factory=list)
    conclusion: list[str] = field(default_factory=list)

    def find(self, method: str, seed: int) -> StudentResult | None:
        """Return the result of one student, None if it has not been trained yet."""
        for student in self.students:
            if (student.method, student.seed) == (method, seed):
                return student
        return None

    def of_method(self, method: str) -> list[StudentResult]:
        """Return the results of one method, by seed."""
        chosen = [student for student in self.students if student.method == method]
        return sorted(chosen, key=lambda student: student.seed)

    def complete_seeds(self, methods: Collection[str]) -> list[int]:
        """Return the seeds for which every one of these methods is finished."""
        seeds = sorted({student.seed for student in self.students})
        return [seed for seed in seeds if all(self.find(method, seed) for method in methods)]

    def with_seeds(self, seeds: list[int]) -> "Results":
        """Return a copy that holds the students of these seeds only."""
        chosen = [student for student in self.students if student.seed in seeds]
        return Results(self.config, self.versions, self.teacher, chosen, self.conclusion)

    def as_json(self) -> dict[str, Any]:
        """Return plain data, ready for `json.dumps`; `sha256` guards all the rest."""
        content = {"format": FORMAT, **asdict(self)}
        return {"sha256": _checksum(content), **content}


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _student(curve: list[list[float]], **rest: Any) -> StudentResult:
    return StudentResult(curve=[(int(step), score) for step, score in curve], **rest)


def save_results(results: Results, path: Path) -> None:
    """Write the results, in full or not at all."""
    write_atomically(path, json.dumps(results.as_json(), indent=1) + "\n")


def load_results(path: Path) -> Results | None:
    """Read results back; None if there are none yet.

    Raises:
        DamagedResultsError: the file cannot be read, is no JSON, or is not what was written.
    """
    try:
        content = json.loads(path.read_bytes())
        if content.pop("sha256") != _checksum(content):
            raise ValueError("its contents do not match their checksum")
        if content.pop("format") != FORMAT:
            raise ValueError("it is of another version of the demo")
        content["students"] = [_student(**one) for one in content["students"]]
        return Results(**content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DamagedResultsError(
            f"{path} cannot be used ({reason}); delete it, name another directory with --output, "
            "or start anew with --fresh"
        ) from None
