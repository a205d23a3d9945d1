"""How a mistake in a file of settings is told: the key, what came, what was expected."""

from collections.abc import Collection
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from amad_core.arguments.words import described


class SettingsError(ValueError):
    """Settings that cannot be used; the message names the key and says what to do."""


def unknown_key(section: str, key: str, known: Collection[str]) -> str:
    """The sentence about a key that is none, with the nearest one that is."""
    near = get_close_matches(key, known, n=1, cutoff=0.5)
    said = f"{joined(section, key)} is no key"
    if near:
        return f"{said}; did you mean {near[0]!r}?"
    return f"{said}; {section or 'the file'} has {', '.join(sorted(known))}"


def joined(section: str, key: str) -> str:
    """A key with its section, as dots."""
    return f"{section}.{key}" if section else key


def told(error: ValidationError, given: Any, model: type[BaseModel], section: str = "") -> str:
    """A line for each mistake that pydantic found."""
    lines: dict[str, list[str]] = {}
    for one in error.errors():
        path, value = _where(one["loc"], given)
        key = joined(section, ".".join(path)).rstrip(".") or "the file"
        kind, said = one["type"], one["msg"]
        if kind == "extra_forbidden":
            *parents, last = path
            known = _keys(model, parents)
            lines[unknown_key(joined(section, ".".join(parents)).rstrip("."), last, known)] = []
        elif kind == "missing":
            lines[f"{joined(key.replace('the file', ''), str(one['loc'][-1]))} is missing"] = []
        elif kind == "value_error":
            lines[f"{key} {said.removeprefix('Value error, ')}"] = []
        else:
            wanted = said.removeprefix("Input should be ").replace(" or equal to", " or equal to")
            lines.setdefault(f"{key} must be {{}}; got {_shortly(value)}", []).append(wanted)
    return "\n".join(
        head.replace("{}", " or ".join(dict.fromkeys(wanted)), 1) if wanted else head
        for head, wanted in lines.items()
    )


def _where(location: tuple[int | str, ...], given: Any) -> tuple[list[str], Any]:
    """The path in what was given; names that pydantic adds for members of unions are left out."""
    path: list[str] = []
    for step in location:
        inside = range(len(given)) if isinstance(given, list) else given
        if not isinstance(inside, dict | range) or step not in inside:
            continue
        given = given[step]
        path.append(str(step))
    return path, given


def _keys(model: type[BaseModel], path: list[str]) -> list[str]:
    """The keys of the section that a path leads to."""
    for step in path:
        field = next(
            (one for name, one in model.model_fields.items() if step in (name, one.alias)), None
        )
        inner = None if field is None else section_of(field.annotation)
        model = model if inner is None else inner
    return [field.alias or name for name, field in model.model_fields.items()]


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The model in an annotation such as ``list[MatchSettings] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for one in getattr(annotation, "__args__", ()):
        if (found := section_of(one)) is not None:
            return found
    return None


def _shortly(value: Any) -> str:
    text = described(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
