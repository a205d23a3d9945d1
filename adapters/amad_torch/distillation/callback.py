"""A callback for Transformers' trainer: the parts of the loss, and who is aligned with whom."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from amad_torch.distillation.distiller import Distiller
from amad_torch.distillation.match import MatchedLayers


class DistillationCallback:
    """Logs each part of a distiller's loss and, every so many steps, the alignment weights.

    Each log of the training loss gets ``attention``, ``output`` and ``task``, means over this
    process's batches since the last; each log of an evaluation ``eval_attention`` and so on.
    Every ``every`` steps the history gets an entry
    ``alignment_weights``: by layer (``"student path <- teacher path"``) the weights ``[Ht][Hs]`` of
    eq. 2, mean over the step's first batch; and the next log ``alignment_evenness/...``, their
    entropy divided by ``log Hs``: 1 where all student heads are mixed equally, 0 where each teacher
    head has one. Layers compared by another method than AMAD's, or by rows (``amad_token``), have
    no such weights.

    A callback that stands before it in the trainer's list (those of ``report_to``) has had its log
    by then; one that is given after it in ``callbacks=`` sees all.

    Args:
        every: steps between two looks at the alignment weights; 0: never.
        writer: a ``SummaryWriter``, which gets the numbers, and the weights as images (rows are
            teacher heads, white is the largest weight); ``None``: where the trainer reports to
            TensorBoard, one of its own in ``output_dir/runs/distillation``.

    Raises:
        ValueError: ``every`` below 0.
        TypeError: when training begins, a trainer whose model is no ``Distiller``.

    Example:
        >>> callback = DistillationCallback(every=50)  # Trainer(..., callbacks=[callback])
    """

    def __init__(self, every: int = 100, writer: Any = None) -> None:
        if every < 0:
            raise ValueError(f"every must be at least 0 steps; got {every!r}")
        self.every, self.writer = every, writer
        self._end: list[Callable[[], None]] = []
        self._parts: dict[str, list[Tensor]] = {}
        self._evaluated: dict[str, list[Tensor]] = {}
        self._weights: dict[str, Tensor] = {}
        self._evenness: dict[str, float] = {}
        self._looking = False

    def __getattr__(self, name: str) -> Any:
        # Trainers call every event; not a subclass of theirs, so that theirs need not be installed.
        if name.startswith("on_"):
            return lambda *args, **kwargs: None
        raise AttributeError(f"{type(self).__name__} has no {name!r}")

    def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Watch the distiller."""
        model = others.get("model")
        if not isinstance(model, Distiller):
            raise TypeError(f"the trainer's model must be a Distiller; got {type(model).__name__}")
        self.on_train_end()
        self._end = [model.register_forward_hook(self._saw_parts).remove]
        model.watchers.append(self._saw_layers)
        self._end.append(lambda: model.watchers.remove(self._saw_layers))
        if self.writer is None and state.is_world_process_zero and "tensorboard" in args.report_to:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(Path(args.output_dir, "runs", "distillation")))

    def on_step_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Look at the weights in the first batch of every so many steps."""
        self._looking = bool(self.every) and state.global_step % self.every == 0

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Note the weights that were seen."""
        self._looking = False
        if not self._weights:
            return
        seen = {name: weights.cpu() for name, weights in self._weights.items()}
        self._weights = {}
        self._evenness = {
            f"alignment_evenness/{name}": evenness(weights) for name, weights in seen.items()
        }
        rounded = {name: weights.double().round(decimals=4) for name, weights in seen.items()}
        state.log_history.append(
            {
                "step": state.global_step,
                "alignment_weights": {name: weights.tolist() for name, weights in rounded.items()},
            }
        )
        if self.writer is not None and state.is_world_process_zero:
            for name, weights in seen.items():
                self.writer.add_image(f"alignment/{name}", picture(weights), state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Add the parts to a log of the training loss, or of an evaluation's."""
        logs = others.get("logs") or {}
        if "loss" in logs:
            loss, seen, found = "loss", self._parts, self._evenness
            self._parts, self._evenness = {}, {}
        else:
            named = [one for one in logs if one.startswith("eval") and one.endswith("_loss")]
            if not named:
                return
            loss, seen, found = named[0], self._evaluated, {}
            self._evaluated = {}
        prefix = loss.removesuffix("loss")
        found |= {prefix + name: float(torch.stack(one).mean()) for name, one in seen.items()}
        logs.update(found)
        last = next(entry for entry in reversed(state.log_history) if loss in entry)
        last.update(found)
        if self.writer is not None and state.is_world_process_zero:
            for name, value in found.items():
                self.writer.add_scalar(
                    name if prefix else f"train/{name}", value, state.global_step
                )

    def on_train_end(self, *args: Any, **others: Any) -> None:
        """Leave nothing behind."""
        for end in self._end:
            end()
        self._end = []
        if self.writer is not None:
            self.writer.flush()

    def _saw_parts(self, module: nn.Module, given: Any, output: Any) -> None:
        self._looking = False
        seen = self._parts if torch.is_grad_enabled() else self._evaluated
        for name in ("attention", "output", "task"):
            if name in output:
                seen.setdefault(name, []).append(output[name].detach())

    def _saw_layers(self, matched: MatchedLayers, alignment: Callable[[], Tensor]) -> None:
        if self._looking and torch.is_grad_enabled():
            with torch.no_grad():
                self._weights[matched.name] = alignment().mean(dim=0)


def evenness(weights: Tensor) -> float:
    """Mean over teacher heads of the entropy of ``[Ht, Hs]`` weights, divided by ``log Hs``."""
    students = weights.shape[-1]
    if students == 1:
        return 1.0
    return float(torch.special.entr(weights.double()).sum(-1).mean() / math.log(students))


def picture(weights: Tensor, side: int = 16) -> Tensor:
    """``[1, side Ht, side Hs]`` in [0, 1] of ``[Ht, Hs]`` weights; the largest is 1."""
    scaled = (weights / weights.max()).float()
    return scaled.repeat_interleave(side, 0).repeat_interleave(side, 1)[None]
