"""Find the port that ``PATH_OR_MODULE:FUNCTION`` names."""

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from amad_core.conformance.ports.answer import PortError, in_short
from amad_core.conformance.ports.constructed import as_function


def load_function(target: str) -> Callable[..., Any]:
    """The function (or class, or instance) that ``target`` names, as a plain callable.

    Args:
        target: ``"port.py:loss"``, ``"package.module:loss"``, ``"module:Class.method"``; without
            ``:loss`` where the file defines a single public function.

    Raises:
        PortError: no such file, module or function, or the module cannot be imported.
    """
    place, name = _split(target)
    module = _module_at(Path(place)) if _is_path(place) else _module_named(place)
    found: Any = _attribute(module, name) if name else _only_function(module)
    if not callable(found):
        raise PortError("function", f"{target} is a {type(found).__name__}, which cannot be called")
    return as_function(cast(Callable[..., Any], found))


def _split(target: str) -> tuple[str, str]:
    place, colon, name = target.rpartition(":")
    # "C:\port.py" has a colon and names no function.
    if not colon or name.endswith(".py") or "\\" in name or "/" in name:
        return target, ""
    return place, name


def _is_path(place: str) -> bool:
    return place.endswith(".py") or "/" in place or "\\" in place


def _module_at(path: Path) -> ModuleType:
    if not path.is_file():
        raise PortError(
            "not-found", f"there is no file {path}", "check the path; it is taken from this folder"
        )
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    # A port file may be called like a module that is loaded already, numpy.py for one.
    name = f"{path.stem}_port" if path.stem in sys.modules else path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PortError("not-found", f"{path} is no Python file", "a port file ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader = spec.loader
    _import(lambda: loader.exec_module(module), str(path))
    return module


def _module_named(name: str) -> ModuleType:
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        found = None
    if found is None and name not in sys.modules and "." not in name:
        raise PortError(
            "not-found",
            f"there is no module {name!r} here",
            "give a file (port.py:loss) or a module that Python can import from this folder",
        )
    loaded: list[ModuleType] = []
    _import(lambda: loaded.append(importlib.import_module(name)), name)
    return loaded[0]


def _import(load: Callable[[], object], shown: str) -> None:
    try:
        load()
    except ModuleNotFoundError as error:
        raise PortError(
            "import",
            f"importing {shown} failed: it needs {error.name!r}, which is not installed here",
            "install it in this environment, or run amad where it is installed",
        ) from error
    except SystemExit as error:
        raise PortError(
            "import", f"importing {shown} ended the program (exit code {error.code})"
        ) from error
    except SyntaxError as error:
        raise PortError(
            "import", f"{shown} is no valid Python: {error.msg} (line {error.lineno})"
        ) from error
    except Exception as error:
        raise PortError(
            "import",
            f"importing {shown} raised {in_short(error)}",
            gpu_hint(in_short(error)),
        ) from error


def gpu_hint(message: str) -> str:
    """What to do where an error seems to come from a missing accelerator; else empty."""
    if re.search(r"\b(cuda|gpu|nvidia|tpu|accelerator|rocm|mps)", message.lower()):
        return (
            "the port seems to need a device that this machine has not: let it compute on the "
            "device of the maps it is given, which are on the CPU"
        )
    return ""


def _attribute(module: ModuleType, name: str) -> Any:
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise PortError("function", f"{module.__name__} has no {name!r}", _choices(module))
        found = getattr(found, part)
    return found


def _only_function(module: ModuleType) -> Any:
    names = _public_functions(module)
    if len(names) != 1:
        raise PortError("function", f"which function of {module.__name__}?", _choices(module))
    return getattr(module, names[0])


def _choices(module: ModuleType) -> str:
    names = _public_functions(module)
    if not names:
        return "it defines no public function"
    return f"it defines {', '.join(names)}; name one after a colon"


def _public_functions(module: ModuleType) -> list[str]:
    listed = getattr(module, "__all__", None)
    return [
        name
        for name, value in vars(module).items()
        if callable(value)
        and not name.startswith("_")
        and (name in listed if listed else getattr(value, "__module__", "") == module.__name__)
    ]
