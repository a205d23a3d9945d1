"""What a file of settings names by `module:name`, imported and called."""

import importlib
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amad_distill.mistakes import SettingsError


def imported(key: str, path: str) -> Any:
    """The object that `module:name` names; the key is for errors.

    Raises:
        SettingsError: no such module or name, or a module that fails.
    """
    module, colon, name = path.partition(":")
    if not (module and colon and name):
        raise SettingsError(f"{key} must be module:name, such as my_data:rows; got {path!r}")
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise SettingsError(f"{key}: importing {module} failed: {_reason(error)}") from None
        raise SettingsError(
            f"{key}: there is no module {error.name!r}; it is looked for in the folder where the "
            "command runs, beside the file of settings, and among what is installed"
        ) from None
    except Exception as error:
        raise SettingsError(f"{key}: importing {module} failed: {_reason(error)}") from None
    for step in name.split("."):
        if not hasattr(found, step):
            raise SettingsError(f"{key}: {module} has no {name!r}")
        found = getattr(found, step)
    return found


def called(key: str, path: str, arguments: Mapping[str, Any]) -> Any:
    """What a function named by `module:name` returns.

    Raises:
        SettingsError: as `imported`; the function fails.
    """
    function = imported(key, path)
    try:
        return function(**arguments)
    except Exception as error:
        raise SettingsError(f"{key}: {path} failed: {_reason(error)}") from error


def look_beside(file: Path) -> None:
    """Find modules in the folder where the command runs, and beside the file of settings."""
    for folder in (str(file.resolve().parent), str(Path.cwd())):
        if folder not in sys.path:
            sys.path.insert(0, folder)


def _reason(error: BaseException) -> str:
    """The error and the line it came from, without the lines that led there."""
    said = "".join(traceback.format_exception_only(error)).strip()
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1] if frames else None
    return f"{said} ({last.filename}, line {last.lineno})" if last else said
