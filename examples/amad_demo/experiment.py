"""The whole experiment: every method on every seed, with what is finished already left alone."""

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from importlib.metadata import version
from typing import Any

import torch

from amad_core import __version__ as amad_version
from amad_demo.batches import Batch, draw_questions
from amad_demo.evaluation import exact_match, measure
from amad_demo.methods import LAYER_NAMES, METHODS, TEMPERATURE, make_distiller
from amad_demo.model import STUDENT_SIZE, VisualQuestionModel
from amad_demo.results import Results, StudentResult
from amad_demo.training import TrainingSettings, train_student

TEST_QUESTIONS = 1000
VALIDATION_QUESTIONS = 200
CURVE_POINTS = 10
_TEST_SEED = 31337
_VALIDATION_SEED = 27182
_TRAINING_SEED = 1_000_000
_LIBRARIES = ("torch", "transformers", "scikit-learn", "numpy")


@dataclass(frozen=True)
class Task:
    """One student to train."""

    method: str
    seed: int


def plan(seeds: list[int]) -> list[Task]:
    """List the students to train, seed by seed so that an early stop leaves fair comparisons."""
    return [Task(method, seed) for seed in seeds for method in METHODS]


def empty_results(settings: TrainingSettings, teacher_checksum: str) -> Results:
    """Start results that record everything the numbers depend on."""
    versions = {"python": platform.python_version()}
    versions |= {library: version(library) for library in _LIBRARIES}
    config: dict[str, Any] = {
        "training": asdict(settings),
        "student": asdict(STUDENT_SIZE),
        "teacher_sha256": teacher_checksum,
        "temperature": TEMPERATURE,
        "layer_map": list(LAYER_NAMES),
        "methods": {name: asdict(method) for name, method in METHODS.items()},
        "test_questions": TEST_QUESTIONS,
        "amad": amad_version,
        "libraries": {library: versions[library] for library in _LIBRARIES},
    }
    return Results(config=config, versions=versions)


@cache
def test_questions() -> Batch:
    """Draw the questions about unseen digits on which every model is judged."""
    return draw_questions("test", TEST_QUESTIONS, _TEST_SEED)


@lru_cache(maxsize=1)  # the three methods of a seed follow each other
def _training_questions(count: int, seed: int) -> Batch:
    return draw_questions("train", count, seed)


@cache
def _validation_questions() -> Batch:
    return draw_questions("validation", VALIDATION_QUESTIONS, _VALIDATION_SEED)


def new_student(seed: int, teacher: VisualQuestionModel) -> VisualQuestionModel:
    """Make an untrained student; the same seed gives the same weights for every method."""
    torch.manual_seed(seed)
    return VisualQuestionModel(STUDENT_SIZE, teacher.reader)


def run_task(
    task: Task,
    *,
    teacher: VisualQuestionModel,
    test: Batch,
    settings: TrainingSettings,
    on_step: Callable[[], None],
) -> StudentResult:
    """Train one student and measure it.

    Args:
        task: method and seed.
        teacher: frozen.
        test: the questions to judge by.
        settings: of the training.
        on_step: called after every training step.
    """
    student = new_student(task.seed, teacher)
    data = _training_questions(settings.questions, _TRAINING_SEED + task.seed)
    before = measure(student, teacher, test)
    curves = _Curves(student, settings.steps)

    def after_step(step: int, loss: float) -> None:
        curves.add(step, loss)
        on_step()

    started = time.perf_counter()
    distiller = make_distiller(METHODS[task.method], teacher=teacher, student=student)
    train_student(distiller, data=data, settings=settings, seed=task.seed, on_step=after_step)
    seconds = time.perf_counter() - started - curves.seconds
    after = measure(student, teacher, test)
    return StudentResult(
        method=task.method,
        seed=task.seed,
        accuracy=after.accuracy,
        digit_accuracy=after.digit_accuracy,
        amad_loss=after.amad_loss,
        one_to_one_loss=after.one_to_one_loss,
        seconds=seconds,
        steps=curves.steps,
        curve_accuracy=curves.accuracies,
        curve_loss=curves.losses,
        weights_before=before.weights,
        weights_after=after.weights,
    )


class _Curves:
    """Collects the points of the training curves, and the time that this takes."""

    def __init__(self, student: VisualQuestionModel, total_steps: int) -> None:
        points = min(CURVE_POINTS, total_steps)
        self.due = {round(total_steps * (point + 1) / points) for point in range(points)}
        self.student = student
        self.steps: list[int] = []
        self.accuracies: list[float] = []
        self.losses: list[float] = []
        self.seconds = 0.0
        self._recent: list[float] = []

    def add(self, step: int, loss: float) -> None:
        self._recent.append(loss)
        if step not in self.due:
            return
        started = time.perf_counter()
        self.steps.append(step)
        self.accuracies.append(exact_match(self.student, _validation_questions()))
        self.losses.append(sum(self._recent) / len(self._recent))
        self._recent.clear()
        self.seconds += time.perf_counter() - started


@contextmanager
def single_thread() -> Iterator[None]:
    """Let PyTorch compute with one thread: such small models gain nothing from more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
