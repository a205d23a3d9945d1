"""Loss classes called as functions: made with their options and sizes, then called with maps."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, cast

from amad_core.conformance.ports.answer import PortError

_CALL_METHODS = ("forward", "call")

_SIZES: Mapping[str, Callable[[Any, Any], int]] = {
    "cells": lambda teacher, student: student.shape[-2] * student.shape[-1],
    "teacher_heads": lambda teacher, student: teacher.shape[-3],
    "student_heads": lambda teacher, student: student.shape[-3],
    "queries": lambda teacher, student: student.shape[-2],
    "keys": lambda teacher, student: student.shape[-1],
}
"""Sizes of the maps that a port may ask for, with or without num\\_ or n\\_ before."""

_OF_PROJECTION = "cells of a projection"

_PARAMETERS = ("weight", "bias")
"""What a class holds that learns the projection of eq. 10; the kit sets it to the case's."""


def named_sizes(parameters: Mapping[str, inspect.Parameter]) -> dict[str, str]:
    """Parameters that are sizes of the maps: those without a default, and optional ``cells``."""
    found = {}
    for name, parameter in parameters.items():
        size = name.removeprefix("num_").removeprefix("n_")
        if size in _SIZES and parameter.default is inspect.Parameter.empty:
            found[name] = size
        elif size == "cells":
            found[name] = _OF_PROJECTION
    return found


def sizes_of(names: Mapping[str, str], given: Mapping[str, Any]) -> dict[str, int]:
    """The sizes that a port asks for; optional ``cells`` with a projection only."""
    teacher, student = (
        maps[0] if isinstance(maps, list) else maps for maps in (given["teacher"], given["student"])
    )
    return {
        name: int(_SIZES["cells" if size == _OF_PROJECTION else size](teacher, student))
        for name, size in names.items()
        if size != _OF_PROJECTION or "weight" in given
    }


def as_function(port: Callable[..., Any]) -> Callable[..., Any]:
    """A function as it is; a class as a function that makes an instance of it and calls that.

    A loss class takes its options (``variant``, ``temperature``...) when it is made, and the maps
    when it is called: the function takes both. One made with ``cells`` holds the weight and the
    bias of a projection: the function takes these, too, and sets them.
    """
    if not isinstance(port, type):
        return _with_signature_of_call(port)
    made_with = _closed(inspect.signature(port).parameters)
    called_with = inspect.signature(_call_of(port)).parameters
    own = {name: made_with[name] for name in made_with if name not in called_with}
    held = [name for name in _PARAMETERS if "cells" in own and name not in {**own, **called_with}]

    def construct_and_call(*args: Any, **kwargs: Any) -> Any:
        instance = port(**{name: kwargs.pop(name) for name in list(kwargs) if name in own})
        for name in held:
            if name in kwargs:
                _set(instance, name, kwargs.pop(name))
        return instance(*args, **kwargs)

    by_name = inspect.Parameter.KEYWORD_ONLY
    options = [parameter.replace(kind=by_name) for parameter in own.values()]
    options += [inspect.Parameter(name, by_name, default=None) for name in held]
    merged = [parameter for name, parameter in called_with.items() if name != "self"]
    last = [one for one in merged if one.kind is inspect.Parameter.VAR_KEYWORD]
    first = [one for one in merged if one.kind is not inspect.Parameter.VAR_KEYWORD]
    _dress(construct_and_call, port, inspect.Signature([*first, *options, *last]))
    return construct_and_call


def _with_signature_of_call(port: Callable[..., Any]) -> Callable[..., Any]:
    """Instances of loss classes say what they take in ``forward`` or ``call``."""
    if inspect.isroutine(port) or hasattr(port, "__wrapped__"):
        return port
    method = next((getattr(port, name) for name in _CALL_METHODS if hasattr(port, name)), None)
    if method is None or not callable(method):
        return port

    def call(*args: Any, **kwargs: Any) -> Any:
        return port(*args, **kwargs)

    _dress(call, type(port), inspect.signature(method))
    return call


def _dress(function: Any, port: type, signature: inspect.Signature) -> None:
    """Let a function pass for the class that it calls."""
    function.__signature__ = signature
    function.__module__, function.__qualname__ = port.__module__, port.__qualname__
    function.__wrapped_class__ = port


def _closed(parameters: Mapping[str, inspect.Parameter]) -> dict[str, inspect.Parameter]:
    """All but ``*args`` and ``**kwargs``."""
    return {
        name: parameter
        for name, parameter in parameters.items()
        if parameter.kind not in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    }


def _call_of(port: type) -> Callable[..., Any]:
    for name in (*_CALL_METHODS, "__call__"):
        # Not getattr: every class itself has a __call__, that of its metaclass. What is found need
        # not be a plain function: tf.function and jax.jit leave objects that are bound like one.
        method = next((vars(base)[name] for base in port.__mro__ if name in vars(base)), None)
        if callable(method):
            return cast(Callable[..., Any], method)
    raise PortError("function", f"instances of {port.__qualname__} cannot be called")


def _set(instance: Any, name: str, value: Any) -> None:
    """Give a module's or a layer's parameter another value."""
    parameter: Any = getattr(instance, name, None)
    if hasattr(parameter, "assign"):  # Keras
        parameter.assign(value)
    elif hasattr(parameter, "data") and hasattr(parameter, "requires_grad"):  # PyTorch
        parameter.data = value
    else:
        setattr(instance, name, value)
