"""What the command does: put the parts together, check them on a batch, train, tell the result."""

import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import datasets
import torch
import transformers
from transformers import Trainer

from amad_core import __version__
from amad_distill.alignment import Alignment, any_alignment
from amad_distill.checkpoints import LOG_FILE, RESULT_FILE, begin, earlier_result, last_checkpoint
from amad_distill.data import load_data
from amad_distill.display import Display
from amad_distill.labels import give_names
from amad_distill.log import NothingLeftError, RunLog, TrainingError, shown
from amad_distill.mistakes import SettingsError
from amad_distill.models import make_model, save_student
from amad_distill.plot_losses import plot_losses
from amad_distill.result import save_result
from amad_distill.settings import Settings
from amad_distill.training import (
    first_batches,
    make_distiller,
    make_trainer,
    training_arguments,
)
from amad_torch import Distiller, Suggestion, plot_alignment
from amad_torch.distillation.methods import check_method

BATCHES = 8
"""So many batches are measured: of the evaluation data, or else of those to train on."""

_LIBRARIES = ("torch", "transformers", "datasets", "accelerate")


@dataclass(frozen=True)
class Parts:
    """What the settings name, ready to run.

    Attributes:
        distiller: the two models and their loss.
        trainer: with the distiller for its model, and the data.
        tokenizer: to be saved with the student, or `None`.
        pairs: who learns from whom; none without an attention part.
        cut: what is said of texts that were cut.
    """

    distiller: Distiller
    trainer: Trainer
    tokenizer: Any
    pairs: list[str]
    cut: tuple[str, ...]

    @property
    def measured(self) -> list[dict[str, Any]]:
        """A few batches, the same ones each time."""
        rows = self.trainer.eval_dataset
        return first_batches(
            self.trainer, self.trainer.train_dataset if rows is None else rows, BATCHES
        )


def prepare(settings: Settings, log: RunLog) -> Parts:
    """Load models and data, and try the distiller on one batch.

    Raises:
        SettingsError: what cannot be loaded, or does not fit together.
    """
    for library in (transformers.utils.logging, datasets):
        library.disable_progress_bar()
    arguments = training_arguments(settings)
    _check_methods(settings)
    teacher, student = (
        make_model(side, getattr(settings, side), settings.task, arguments.seed)
        for side in ("teacher", "student")
    )
    give_names(teacher=teacher, student=student)
    data = load_data(settings, teacher=teacher, student=student)
    distiller = make_distiller(settings, data, teacher=teacher, student=student)
    trainer = make_trainer(settings, distiller, data, arguments, log)
    return Parts(distiller, trainer, data.tokenizer, _tried(distiller, trainer), data.cut)


def _check_methods(settings: Settings) -> None:
    """Before models are loaded, which takes long."""
    given = settings.distiller
    names = {"method": given.method} | {
        f"matches.{number}.method": match.method
        for number, match in enumerate(given.matches or ())
        if match.method is not None
    }
    for key, name in names.items():
        try:
            check_method(name)
        except ValueError as error:
            raise SettingsError(f"distiller.{key}: {error}") from None


def _tried(distiller: Distiller, trainer: Trainer) -> list[str]:
    (batch,) = first_batches(trainer, trainer.train_dataset, 1)
    try:
        with torch.no_grad():
            pairs = distiller.pairs(**batch) if distiller.attention_weight else []
            distiller.distil(**batch)
    except (TypeError, ValueError, IndexError, KeyError, RuntimeError) as error:
        held = ", ".join(map(repr, batch))
        said = f"{error}" if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise SettingsError(
            f"the first batch, which holds {held}, cannot be distilled: {said}"
        ) from error
    return pairs


def suggested(settings: Settings, display: Display) -> tuple[Parts, Suggestion]:
    """Everything but the training: the parts, and settings that fit the first batches.

    Raises:
        SettingsError: as `prepare`.
    """
    with TemporaryDirectory() as folder:  # a trainer makes one, and nothing may be left behind
        elsewhere = settings.model_copy(update={"output_dir": folder})
        parts = prepare(elsewhere, RunLog(Path(folder, LOG_FILE), lambda *_: None))
    display.say(f"Measuring {BATCHES} batches ...")
    batches = first_batches(parts.trainer, parts.trainer.train_dataset, BATCHES)
    try:
        return parts, parts.distiller.suggest(batches)
    except ValueError as error:
        raise SettingsError(f"distiller: {error}") from None


def distil(settings: Settings, display: Display, *, fresh: bool = False) -> dict[str, Any]:
    """Train the student of the settings, or the rest of it, and return what came of it.

    Raises:
        SettingsError: settings that cannot be used, or a folder with another run.
        TrainingError: the training cannot go on.
        OSError: the folder cannot be written.
    """
    folder = Path(settings.output_dir)
    begin(folder, settings, fresh=fresh)
    finished = None if fresh else earlier_result(folder)
    if finished is not None:
        display.say(f"This run is at its end; its student is in {finished['student']}.")
        return finished
    with display.bar() as advance:

        def on_log(step: int, steps: int, numbers: dict[str, Any]) -> None:
            advance(step, steps, shown(numbers))

        parts = prepare(settings, RunLog(folder / LOG_FILE, on_log))
        for said in (*parts.cut, *(f"  {pair}" for pair in parts.pairs)):
            display.say(said)
        before = _alignment(parts, display)
        checkpoint = last_checkpoint(folder)
        if checkpoint is not None:
            display.say(f"Going on from {checkpoint}")
        started = time.perf_counter()
        try:
            parts.trainer.train(
                resume_from_checkpoint=None if checkpoint is None else str(checkpoint),
                ignore_keys_for_eval=["attention", "output", "task"],
            )
        except NothingLeftError:
            arguments = parts.trainer.args
            if arguments.load_best_model_at_end and parts.trainer.state.best_model_checkpoint:
                parts.trainer._load_best_model()
        except ValueError as error:
            step = parts.trainer.state.global_step
            raise TrainingError(f"the training stopped after step {step}: {error}") from error
        seconds = time.perf_counter() - started
    after = _alignment(parts, display) if before else {}
    student = folder / "student"
    main = parts.trainer.is_world_process_zero()
    if main:
        save_student(parts.distiller.student, student)
        if parts.tokenizer is not None:
            parts.tokenizer.save_pretrained(student)
    history = parts.trainer.state.log_history
    result = {
        "output_dir": str(folder),
        "student": str(student),
        "log": str(folder / LOG_FILE),
        "pictures": _draw(settings, folder, history, before, after) if main else [],
        "steps": parts.trainer.state.global_step,
        "resumed_from": None if checkpoint is None else str(checkpoint),
        "seconds": round(seconds, 1),
        "training": _last(history, "loss"),
        "evaluation": _last(history, "eval_loss"),
        "pairs": parts.pairs,
        "alignment": {"before": before, "after": after},
        "versions": {"amad": __version__, "python": platform.python_version()}
        | {library: version(library) for library in _LIBRARIES},
    }
    if main:
        save_result(result, folder / RESULT_FILE)
    return result


def _alignment(parts: Parts, display: Display) -> Alignment:
    """The alignment weights now; empty where the pairs have none."""
    if not parts.pairs:
        return {}
    try:
        return any_alignment(parts.distiller, parts.measured)
    except ValueError as error:
        display.say(f"No alignment weights: {error}")
        return {}


def _draw(
    settings: Settings,
    folder: Path,
    history: Sequence[dict[str, Any]],
    before: Alignment,
    after: Alignment,
) -> list[str]:
    if not settings.pictures:
        return []
    plot_losses(history, folder / "losses.png")
    drawn = [str(folder / "losses.png")]
    if before:
        plot_alignment({"Before": before, "After": after}, folder / "alignment.png")
        drawn.append(str(folder / "alignment.png"))
    return drawn


def _last(history: Sequence[dict[str, Any]], key: str) -> dict[str, float] | None:
    found = next((entry for entry in reversed(history) if key in entry), None)
    return None if found is None else {key: value for key, value in found.items() if key != "step"}
