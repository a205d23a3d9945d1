"""The trainer of a run: Transformers' own, with a distiller for its model."""

import dataclasses
from functools import cache
from itertools import islice
from typing import Any, get_type_hints

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainingArguments

from amad_distill.data import Data, named_by_tokens
from amad_distill.log import RunLog
from amad_distill.mistakes import SettingsError, told
from amad_distill.settings import MatchSettings, Settings
from amad_torch import AttentionMatch, DistillationCallback, Distiller
from amad_torch.models import taken
from amad_torch.peers import METHODS

_OURS = {
    "output_dir": "give `output_dir` at the top of the file",
    "resume_from_checkpoint": "a run goes on from its last checkpoint by itself",
    "label_smoothing_factor": "it would replace the distiller's loss; `output_weight` softens",
}
_EXAMPLES = 2
_CLASSIFICATION = ("text-classification", "image-classification")


def make_distiller(settings: Settings, data: Data, *, teacher: Any, student: Any) -> Distiller:
    """The distiller of the settings; the first rows are its example, where its losses learn.

    Raises:
        SettingsError: arguments that it refuses.
    """
    given = settings.distiller
    arguments = {name: getattr(given, name) for name in type(given).model_fields}
    try:
        if given.matches is not None:
            arguments["matches"] = [_match(match) for match in given.matches]
        methods = {given.method} | {match.method or given.method for match in given.matches or ()}
        if any(METHODS[method].learned for method in methods):
            kept = named_by_tokens(settings)
            rows = [
                taken(student, row) | {name: row[name] for name in kept if name in row}
                for row in islice(iter(data.train), _EXAMPLES)
            ]
            arguments["example"] = data.collate(rows)
        return Distiller(teacher=teacher, student=student, **arguments)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"distiller: {error}") from None


def _match(settings: MatchSettings) -> AttentionMatch:
    return AttentionMatch(**{name: getattr(settings, name) for name in type(settings).model_fields})


def training_arguments(settings: Settings) -> TrainingArguments:
    """The trainer's arguments, checked, with defaults that suit a run of this command.

    Raises:
        SettingsError: an argument that there is not, of the wrong type, or refused.
    """
    given = settings.training
    for key, remedy in _OURS.items():
        if given.get(key):
            raise SettingsError(f"training.{key} cannot be given here: {remedy}")
    for key in ("max_steps", "num_train_epochs", "per_device_train_batch_size"):
        if given.get(key) == 0:
            raise SettingsError(f"training.{key} must be greater than 0; got 0")
    model = _arguments_model()
    try:
        model.model_validate(given)
    except ValidationError as error:
        raise SettingsError(told(error, given, model, "training")) from None
    tokens = any(match.tokens is not None for match in settings.distiller.matches or ())
    defaults: dict[str, Any] = {
        "report_to": "none",
        "logging_steps": 10,
        "logging_nan_inf_filter": False,  # a NaN must be seen
        "disable_tqdm": True,
        "save_total_limit": 2,
        "eval_strategy": "no" if settings.data.evaluation is None else "epoch",
        "remove_unused_columns": not tokens,
        "dataloader_pin_memory": torch.cuda.is_available(),
    }
    try:
        return TrainingArguments(output_dir=settings.output_dir, **(defaults | given))
    except (ImportError, TypeError, ValueError) as error:
        raise SettingsError(f"training: {error}") from None


@cache
def _arguments_model() -> type[BaseModel]:
    """A model with the fields of TrainingArguments, to check keys and types by."""
    types = get_type_hints(TrainingArguments)
    fields: Any = {
        one.name: (types[one.name], None)
        for one in dataclasses.fields(TrainingArguments)
        if one.init
    }
    config = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)
    return create_model("TrainingArguments", __config__=config, **fields)


def make_trainer(
    settings: Settings, distiller: Distiller, data: Data, arguments: TrainingArguments, log: RunLog
) -> Trainer:
    """The trainer: parts of the loss and alignment weights in its log, nothing printed."""
    if data.evaluation is None and arguments.eval_strategy != "no":
        raise SettingsError(
            "training.eval_strategy needs data to evaluate on; give `data.evaluation`"
        )
    callbacks: list[Any] = [DistillationCallback(every=settings.alignment_every), log]
    trainer = Trainer(
        model=distiller,
        args=arguments,
        train_dataset=data.train,
        eval_dataset=data.evaluation,
        data_collator=data.collate,
        callbacks=callbacks,
        compute_metrics=_accuracy if settings.task in _CLASSIFICATION else None,
    )
    for printing in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(printing)
    return trainer


def _accuracy(predicted: Any) -> dict[str, float]:
    right = np.argmax(predicted.predictions, axis=-1) == predicted.label_ids
    return {"accuracy": float(right.mean())}


def first_batches(trainer: Trainer, rows: Any, count: int) -> list[dict[str, Any]]:
    """The first batches of a data set as the trainer makes them, in order, on its device."""
    found = []
    for batch in trainer.get_test_dataloader(rows):
        found.append(dict(batch))
        if len(found) == count:
            break
    return found
