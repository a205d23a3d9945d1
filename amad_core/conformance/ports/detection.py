"""Find out by itself which framework a port computes in."""

import dis
import inspect
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from amad_core.conformance.ports.frameworks import MODULES

_OWN_MODULE = "amad_core"
_DEEPEST = 4


def candidates(function: Callable[..., Any]) -> dict[str, str]:
    """Frameworks to try, the likeliest first, each with the reason in words.

    First what the port's code names, and the functions it calls; then what is imported. NumPy comes
    after the others (most ports use it on the way) and is always tried last of all.
    """
    used = list(dict.fromkeys(_frameworks_named(_plain(function), set(), 0)))
    reasons = {name: f"the port's code uses {name}" for name in used}
    for name in MODULES:
        if name != "numpy" and name in sys.modules and not _only_numpy(used):
            reasons.setdefault(name, f"{name} is imported")
    reasons.setdefault("numpy", "no other framework is in use")
    return {name: reasons[name] for name in sorted(reasons, key=lambda name: name == "numpy")}


def _only_numpy(used: list[str]) -> bool:
    return used == ["numpy"]


def _plain(function: Any) -> Any:
    """The class, or the function within decorators and bound arguments."""
    if hasattr(function, "__wrapped_class__"):
        return function.__wrapped_class__
    function = getattr(function, "python_function", function)  # a tf.function
    while hasattr(function, "func"):  # a functools.partial
        function = function.func
    try:
        return inspect.unwrap(function)
    except ValueError:
        return function


def _frameworks_named(value: Any, seen: set[int], depth: int) -> Iterator[str]:
    """Frameworks that a value belongs to or refers to, nearest first."""
    if id(value) in seen or depth > _DEEPEST:
        return
    seen.add(id(value))
    framework = framework_of(value)
    if framework:
        yield framework
    elif isinstance(value, FunctionType):
        yield from _imported_inside(value.__code__)
        for name in _names(value.__code__):
            if name in value.__globals__:
                yield from _frameworks_named(value.__globals__[name], seen, depth + 1)
        for cell in value.__closure__ or ():
            yield from _frameworks_named(_content(cell), seen, depth + 1)
    elif inspect.isclass(value):
        for base in value.__mro__[1:]:
            if found := framework_of(base):
                yield found
        for member in vars(value).values():
            yield from _frameworks_named(_plain(member), seen, depth + 1)
    elif isinstance(value, ModuleType) and _is_of_the_user(value):
        for member in list(vars(value).values()):
            yield from _frameworks_named(_plain(member), seen, depth + 1)
    elif callable(value) and not inspect.isbuiltin(value):
        yield from _frameworks_named(_plain(value), seen, depth + 1)


def framework_of(value: Any) -> str:
    """The framework whose own module, class, function or array this is; empty for all else."""
    if isinstance(value, ModuleType):
        module = value.__name__
    else:
        module = getattr(value, "__module__", None) or type(value).__module__
    return _framework_named(str(module))


def _framework_named(module: str) -> str:
    """The framework that a module belongs to; empty for any other module."""
    root = module.partition(".")[0]
    if root == "keras":
        return _keras_backend()
    aliases = {"jaxlib": "jax", "flax": "jax", "optax": "jax", "amad_core": "numpy"}
    root = aliases.get(root, root)
    return root if root in MODULES else ""


def _keras_backend() -> str:
    import keras

    backend = str(keras.backend.backend())
    return backend if backend in MODULES else ""


def _is_of_the_user(module: ModuleType) -> bool:
    root = module.__name__.partition(".")[0]
    return root not in sys.stdlib_module_names and root not in ("scipy", _OWN_MODULE)


def _imported_inside(code: CodeType) -> Iterator[str]:
    """Frameworks that a function imports when it is called."""
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME" and (found := _framework_named(instruction.argval)):
            yield found
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _imported_inside(constant)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None
