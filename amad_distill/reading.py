"""A file of settings, read and checked: YAML or TOML."""

import re
import sys
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import yaml
from pydantic import ValidationError

from amad_distill.mistakes import SettingsError, told
from amad_distill.settings import Settings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_settings(path: Path) -> Settings:
    """The settings in a file.

    Raises:
        SettingsError: a file that cannot be read, an unknown or missing key, a wrong type.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from None
    readers: dict[str, Callable[[str], Any]] = {
        ".yaml": _yaml,
        ".yml": _yaml,
        ".toml": tomllib.loads,
    }
    if path.suffix not in readers:
        raise SettingsError(f"{path} must end in {', '.join(readers)}")
    try:
        given = readers[path.suffix](text)
    except (yaml.YAMLError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} is no {path.suffix[1:].upper()}: {error}") from None
    try:
        return checked(given)
    except SettingsError as error:
        raise SettingsError(f"{path}:\n{error}") from None


def checked(given: Any) -> Settings:
    """Settings of a dictionary.

    Raises:
        SettingsError: with a line for each mistake.
    """
    if not isinstance(given, Mapping):
        raise SettingsError(f"it must hold keys and values; it holds {given!r}")
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        raise SettingsError(told(error, given, Settings)) from None


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML as its version 1.2 reads it: `3e-4` is a number, `no` a word; a key twice an error."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in rules if not tag.endswith((":bool", ":float"))]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is there twice", key.start_mark
                )
            seen.add(key.value)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping


def _resolved(tag: str, pattern: str, first: str) -> None:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), list(first))


_resolved("bool", "^(?:true|True|TRUE|false|False|FALSE)$", "tTfF")
_resolved(
    "float",
    r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)|[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
    "-+0123456789.",
)


def _yaml(text: str) -> Any:
    return yaml.load(text, Loader=_Loader)
