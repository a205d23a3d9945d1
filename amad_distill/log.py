"""The log of a run as lines of JSON, and as a bar or lines for people."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from amad_core.files import write_atomically


class TrainingError(Exception):
    """The training cannot go on: it has diverged, or a batch cannot be distilled."""


class NothingLeftError(Exception):
    """The checkpoint that a run goes on from is that of its last step."""


class RunLog(TrainerCallback):
    """Writes each entry of the trainer's history as a line, and stops a run that has diverged.

    A run that is resumed first writes again what its checkpoint knows: lines that came after the
    checkpoint, of steps that are now taken again, are gone.

    Args:
        file: its lines.
        tell: called with the step, how many there are, and the numbers, at each log.

    Raises:
        TrainingError: at a log whose loss is NaN or infinite.
        NothingLeftError: at the beginning of a run that has taken all its steps; the trainer would
            take one more.
    """

    def __init__(self, file: Path, tell: Callable[[int, int, dict[str, Any]], None]) -> None:
        self.file, self.tell = file, tell
        self._written = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Write what the history holds already."""
        self._written = len(state.log_history)
        if state.is_world_process_zero:
            write_atomically(self.file, "".join(map(_line, state.log_history)))
        if state.global_step >= state.max_steps:
            raise NothingLeftError

    def on_log(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Write what is new."""
        new = state.log_history[self._written :]
        self._written = len(state.log_history)
        if state.is_world_process_zero:
            with self.file.open("a", encoding="utf-8") as file:
                file.writelines(map(_line, new))
            logs = others.get("logs") or {}
            if "train_runtime" not in logs:
                self.tell(state.global_step, state.max_steps, logs)
        for entry in new:
            loss = entry.get("loss", 0.0)
            if not math.isfinite(loss):
                raise TrainingError(
                    f"the loss is {loss} at step {entry['step']}: the training has diverged; a "
                    "lower training.learning_rate may help, or smaller distiller weights"
                )

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Evaluate at the end of the training, too, where evaluations go by steps."""
        if state.global_step >= state.max_steps and str(args.eval_strategy.value) == "steps":
            control.should_evaluate = True


def _line(entry: dict[str, Any]) -> str:
    return json.dumps(entry) + "\n"


def shown(numbers: dict[str, Any]) -> str:
    """The numbers that people look at, in one line."""
    hidden = ("runtime", "per_second", "epoch", "grad_norm", "flos", "evenness")
    return "  ".join(
        f"{key} {value:.4g}"
        for key, value in numbers.items()
        if isinstance(value, int | float) and not any(word in key for word in hidden)
    )
