"""The data that the settings name: loaded, prepared, and put into batches."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
from pyarrow.compute import list_value_length
from torch import nn
from transformers import (
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    DataCollatorWithPadding,
    default_data_collator,
)

from amad_distill.importing import called, imported
from amad_distill.labels import numbered_labels
from amad_distill.mistakes import SettingsError
from amad_distill.settings import Settings

_FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".parquet": "parquet",
    ".txt": "text",
}


@dataclass(frozen=True)
class Data:
    """What a trainer is given.

    Attributes:
        train, evaluation: data sets; `None`: no evaluation.
        collate: makes a batch of a list of rows.
        tokenizer: to be saved with the student.
        cut: a sentence for each split of which texts were cut.
    """

    train: Any
    evaluation: Any
    collate: Callable[[list[Any]], Any]
    tokenizer: Any = None
    cut: tuple[str, ...] = ()


def load_data(settings: Settings, *, teacher: nn.Module, student: nn.Module) -> Data:
    """Load the splits, and prepare them for the task.

    Raises:
        SettingsError: data that are not there, columns, labels or tokens that do not fit.
    """
    splits = _load(settings)
    given, tokenizer = settings.data, None
    cut: list[str] = []
    models = {"teacher": teacher, "student": student}
    collate: Callable[[list[Any]], Any] = default_data_collator
    if given.text is not None:
        tokenizer, length = _tokenizer(settings, models), _length(settings, models)
        splits = {
            key: _prepared(key, rows, settings, tokenizer, length) for key, rows in splits.items()
        }
        if settings.task == "text-classification" or not given.join:
            cut = [told for key, rows in splits.items() if (told := _told_cut(key, rows, length))]
        if settings.task == "text-classification":
            splits = {
                key: numbered_labels(key, rows, given.label, teacher=teacher, student=student)
                for key, rows in splits.items()
            }
            collate = DataCollatorWithPadding(tokenizer)
        else:
            collate = DataCollatorForSeq2Seq(tokenizer)  # pads labels with -100
    if given.collate is not None:
        collate = imported("data.collate", given.collate)
    for key, rows in splits.items():
        if hasattr(rows, "__len__") and not len(rows):
            raise SettingsError(
                f"data.{key}: the split {getattr(given, key)!r} has no rows, or its joined texts "
                "are shorter than `data.max_length`"
            )
    return Data(splits["train"], splits.get("evaluation"), collate, tokenizer, tuple(cut))


def _load(settings: Settings) -> dict[str, Any]:
    given = settings.data
    wanted = {"train": given.train}
    if given.evaluation is not None:
        wanted["evaluation"] = given.evaluation
    if given.function is not None:
        found = called("data.function", given.function, given.arguments)
        return _chosen(found if isinstance(found, Mapping) else {given.train: found}, wanted)
    if given.files is not None:
        return _chosen(_from_files(settings), wanted)
    name = str(given.name)
    try:
        if any(Path(name, file).is_file() for file in ("state.json", "dataset_dict.json")):
            saved = datasets.load_from_disk(name)
            return _chosen(saved if isinstance(saved, Mapping) else {given.train: saved}, wanted)
        return {
            key: datasets.load_dataset(name, given.subset, split=split, **given.arguments)
            for key, split in wanted.items()
        }
    except SettingsError:
        raise
    except Exception as error:  # of many kinds, for hub, network and files
        raise SettingsError(f"data.name: {type(error).__name__}: {error}") from None


def _chosen(found: Mapping[str, Any], wanted: Mapping[str, str]) -> dict[str, Any]:
    for key, split in wanted.items():
        if split not in found:
            there = ", ".join(map(repr, found))
            raise SettingsError(f"data.{key} must name a split; got {split!r}, there are {there}")
    return {key: found[split] for key, split in wanted.items()}


def _from_files(settings: Settings) -> Mapping[str, Any]:
    files = {
        split: [paths] if isinstance(paths, str) else paths
        for split, paths in (settings.data.files or {}).items()
    }
    formats: set[str] = set()
    for split, paths in files.items():
        for path in paths:
            if not Path(path).is_file():
                raise SettingsError(f"data.files.{split}: there is no file {path}")
            if Path(path).suffix not in _FORMATS:
                raise SettingsError(
                    f"data.files.{split} must end in {', '.join(_FORMATS)}; got {path}"
                )
            formats.add(Path(path).suffix)
    if len({_FORMATS[one] for one in formats}) != 1 or {".csv", ".tsv"} <= formats:
        raise SettingsError(f"data.files must be of one format; got {', '.join(sorted(formats))}")
    more = {"sep": "\t"} if ".tsv" in formats else {}
    try:
        return datasets.load_dataset(  # type: ignore[no-any-return]
            _FORMATS[formats.pop()], data_files=files, **(more | settings.data.arguments)
        )
    except Exception as error:  # of many kinds, of the readers of each format
        cause = error.__cause__ or error
        raise SettingsError(f"data.files: {type(cause).__name__}: {cause}") from None


def _tokenizer(settings: Settings, models: Mapping[str, nn.Module]) -> Any:
    name = settings.data.tokenizer or settings.teacher.name
    if name is None:
        raise SettingsError("data.tokenizer is missing: `data.text` needs one")
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise SettingsError(f"data.tokenizer: {error}") from None
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise SettingsError(f"data.tokenizer: {name} has neither pad_token nor eos_token")
        tokenizer.pad_token = tokenizer.eos_token
    for side, model in models.items():
        embedding = getattr(model, "get_input_embeddings", lambda: None)()
        size = getattr(embedding, "num_embeddings", None)
        if size is not None and size < len(tokenizer):
            raise SettingsError(
                f"{side}: its {size} embeddings are fewer than the {len(tokenizer)} tokens of the "
                f"tokenizer {name}; teacher and student need one tokenizer "
                f"(`{side}.config.vocab_size`, or another `{side}.name`)"
            )
    return tokenizer


def _length(settings: Settings, models: Mapping[str, nn.Module]) -> int:
    """Tokens in a row, which every model must have positions for."""
    positions = {
        side: found
        for side, model in models.items()
        if isinstance(
            found := getattr(getattr(model, "config", None), "max_position_embeddings", None), int
        )
    }
    given = settings.data.max_length
    for side, most in positions.items():
        if given is not None and most < given:
            raise SettingsError(
                f"data.max_length must be at most {most}, the positions of the {side}; got {given}"
            )
    return given or min(512, *positions.values(), 512)


def _prepared(key: str, rows: Any, settings: Settings, tokenizer: Any, length: int) -> Any:
    """The rows with tokens in place of texts."""
    given = settings.data
    if not hasattr(rows, "map"):
        rows = datasets.Dataset.from_list(list(rows))
    columns = [given.text] if isinstance(given.text, str) else list(given.text or ())
    there = list(rows.column_names)
    classified = settings.task == "text-classification"
    for name, column in [*(("text", one) for one in columns), ("label", given.label)]:
        if column not in there and (name == "text" or classified):
            raise SettingsError(
                f"data.{name} must name a column; got {column!r}, data.{key} has "
                f"{', '.join(map(repr, there))}"
            )
    options = {"truncation": True, "max_length": length}
    if classified:

        def tokenised(batch: Mapping[str, list[str]]) -> Any:
            return tokenizer(*(batch[column] for column in columns), **options)

    else:

        def tokenised(batch: Mapping[str, list[str]]) -> Any:
            if given.join:
                return _joined(batch[columns[0]], tokenizer, length)
            found = tokenizer(batch[columns[0]], **options)
            return {**found, "labels": [list(row) for row in found["input_ids"]]}

    kept = {given.label, *named_by_tokens(settings)} if classified else named_by_tokens(settings)
    try:
        return rows.map(
            tokenised, batched=True, remove_columns=[one for one in there if one not in kept]
        )
    except (TypeError, ValueError) as error:
        raise SettingsError(f"data.text: the column cannot be tokenised: {error}") from None


def _told_cut(key: str, rows: Any, length: int) -> str:
    """What is said of texts that fill a row; nothing if there are none, or of a stream of rows."""
    if not hasattr(rows, "__len__"):
        return ""
    # Among the rows as they are stored: a list of Python's numbers for each would take minutes.
    lengths = list_value_length(rows.data.column("input_ids")).to_numpy()
    full = int((lengths >= length).sum())
    if not full:
        return ""
    return (
        f"data.{key}: {full} of {len(rows)} texts fill a row of {length} tokens; what is longer "
        "was cut (data.max_length)"
    )


def _joined(texts: list[str], tokenizer: Any, length: int) -> dict[str, list[list[int]]]:
    """Texts, one after the other with an end between them, in rows of one length."""
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
    tokens = [token for text in ids for token in [*text, *end]]
    whole = len(tokens) // length * length
    rows = [tokens[start : start + length] for start in range(0, whole, length)]
    return {
        "input_ids": rows,
        "attention_mask": [[1] * length for _ in rows],
        "labels": [list(row) for row in rows],
    }


def named_by_tokens(settings: Settings) -> set[str]:
    """Columns that `tokens` of a match names."""
    found: set[str] = set()
    for match in settings.distiller.matches or ():
        names = match.tokens if isinstance(match.tokens, tuple) else (match.tokens,)
        found |= {name for name in names if name is not None}
    return found
