"""Labels as the numbers that the models mean by them."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from amad_distill.mistakes import SettingsError


def numbered_labels(
    key: str, rows: Any, column: str, *, teacher: nn.Module, student: nn.Module
) -> Any:
    """The rows with `labels`, in place of a column of numbers or names.

    Names become the numbers that the teacher's configuration gives them, or else the student's; so
    do numbers whose names the data set knows, where the models know the same names: data sets and
    models often count the same labels in another order.

    Raises:
        SettingsError: names that no model has, a number that a model has no logit for.
    """
    feature, values = rows.features[column], rows[column]
    names: Sequence[str] | None = getattr(feature, "names", None)
    numbers = _numbers_of_names({"teacher": teacher, "student": student})
    if values and isinstance(values[0], str):
        unknown = sorted({str(one) for one in values if str(one).lower() not in numbers})
        if unknown:
            raise SettingsError(
                f"data.label: data.{key} holds the names {_few(unknown)}, which the models do not "
                f"have; they have {_few(numbers) or 'numbers only'}: give "
                "`student.config.label2id` and the teacher's, such as {negative: 0, positive: 1}"
            )
        found = [numbers[one.lower()] for one in values]
    elif names is not None and all(name.lower() in numbers for name in names):
        found = [numbers[names[one].lower()] for one in values]
    else:
        found = list(values)
    _check_range(key, found, {"teacher": teacher, "student": student})
    without = rows.remove_columns([column])
    if "labels" in without.column_names:
        without = without.remove_columns(["labels"])
    return without.add_column("labels", found)


def _numbers_of_names(models: Mapping[str, nn.Module]) -> dict[str, int]:
    """Of the first model that has names of its own."""
    for model in models.values():
        known = getattr(getattr(model, "config", None), "label2id", None) or {}
        if not all(str(name).startswith("LABEL_") for name in known):
            return {str(name).lower(): int(number) for name, number in known.items()}
    return {}


def _check_range(key: str, labels: Sequence[Any], models: Mapping[str, nn.Module]) -> None:
    if any(isinstance(one, bool) or not isinstance(one, int) for one in labels):
        raise SettingsError(
            f"data.label: labels must be integers or names; data.{key} holds {_few(labels)}"
        )
    for side, model in models.items():
        count = getattr(getattr(model, "config", None), "num_labels", None)
        wrong = [one for one in labels if count is not None and not 0 <= one < count]
        if wrong:
            raise SettingsError(
                f"{side}: it has {count} labels, and data.{key} holds the label {wrong[0]}; give "
                f"`{side}.config.num_labels`"
            )


def _few(names: Any) -> str:
    listed = [repr(one) for one in names]
    return ", ".join(listed[:8]) + (", ..." if len(listed) > 8 else "")


def give_names(*, teacher: nn.Module, student: nn.Module) -> None:
    """Let a student whose labels have no names have the teacher's, as it learns from them."""
    known, own = (getattr(model, "config", None) for model in (teacher, student))
    names = getattr(known, "id2label", None)
    if own is None or not names or len(names) != own.num_labels:
        return
    if all(str(name).startswith("LABEL_") for name in own.label2id or {}):
        own.id2label, own.label2id = dict(names), {name: one for one, name in names.items()}
