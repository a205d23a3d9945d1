"""What `amad distill --help` says about every key, from the models of the settings."""

from collections.abc import Iterator
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table

from amad_distill.mistakes import joined, section_of
from amad_distill.settings import Settings


def explain_keys(console: Console) -> None:
    """Print a table for each section of the file."""
    console.print("[bold]Keys of the file[/bold] (* must be there)\n")
    console.print(Group(*_tables(Settings, "")))


def _tables(model: type[BaseModel], section: str) -> Iterator[RenderableType]:
    table = Table(
        title=f"{section or 'the file itself'}: {(model.__doc__ or '').strip()}",
        title_justify="left",
        title_style="bold",
        expand=True,
        show_header=False,
        box=None,
        padding=(0, 2, 0, 0),
    )
    table.add_column(no_wrap=True, min_width=20)
    table.add_column(style="dim", no_wrap=True, min_width=15)
    table.add_column(ratio=1)
    inner: list[tuple[str, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        key = field.alias or name
        found = section_of(field.annotation)
        if found is not None:
            several = get_origin(_without_none(field.annotation)) is list
            inner.append((joined(section, key) + ("[]" if several else ""), found))
        table.add_row(
            f"  {key}{'*' if field.is_required() else ''}",
            _type(field),
            escape(_purpose(field, found)),
        )
    yield table
    yield ""
    for key, found in inner:
        if key == "student":
            yield "[bold]student[/bold]: as teacher.\n"
        else:
            yield from _tables(found, key)


def _purpose(field: FieldInfo, section: type[BaseModel] | None) -> str:
    default = field.get_default(call_default_factory=False)
    said = field.description or ("See below." if section else "")
    if field.is_required() or default is None or section is not None or field.default_factory:
        return said
    shown = str(default).lower() if isinstance(default, bool) else f"{default}"
    return f"{said} Default: {shown}."


def _without_none(annotation: Any) -> Any:
    members = [one for one in get_args(annotation) if one is not NoneType]
    return members[0] if len(members) == 1 else annotation


def _type(field: FieldInfo) -> str:
    return _word(field.annotation)


def _word(annotation: Any) -> str:
    """A type in a word or two."""
    origin, members = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _word(members[0])
    if origin is Literal:
        return "text"
    if origin in (list, tuple):
        return "list"
    if origin is dict:
        return "keys and values"
    if members:
        words = [_word(one) for one in members if one is not NoneType]
        return " or ".join(dict.fromkeys(words))
    if section_of(annotation) is not None:
        return "section"
    return {bool: "true or false", int: "integer", float: "number", str: "text"}.get(annotation, "")
