"""Match what the kit passes with the signature of a port."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from amad_core.conformance.ports.answer import PortError
from amad_core.conformance.ports.call_style import ARGUMENTS, MAPS, OPTIONS, CallStyle, FittedCall
from amad_core.conformance.ports.constructed import named_sizes

_KERAS_NAMES = {"teacher": "y_true", "student": "y_pred"}
_ALIKE = {
    "teacher": {"teacher", "teach", "t", "target", "true"},
    "student": {"student", "stud", "s", "input", "pred"},
}
"""Words in the names of arguments that are likely the teacher's or the student's: for advice."""

_BY_NAME = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_OPEN = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_Parameters = Mapping[str, inspect.Parameter]


def fit(function: Callable[..., Any], call_style: CallStyle) -> FittedCall:
    """Match a call style with the port's signature.

    Raises:
        PortError: the signature has no place for teacher or student, or asks for more.
    """
    _check_names(call_style)
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        positional = frozenset(call_style.positional)
        return FittedCall(function, call_style, dict(call_style.names), positional)
    names, remarks = _recognised_names(parameters, call_style)
    accepts = frozenset(
        option
        for option in OPTIONS
        if option in call_style.positional
        or option in names
        or (option in parameters and parameters[option].kind in _BY_NAME)
    )
    fitted = FittedCall(
        function,
        call_style,
        names,
        accepts,
        needs_mask="mask" in accepts and _needs_mask(parameters, names, call_style),
        guessed_mask="mask" in names and "mask" not in call_style.names,
        sizes=named_sizes(parameters),
        remark="; ".join(remarks),
    )
    _check_complete(parameters, fitted)
    return fitted


def _check_names(call_style: CallStyle) -> None:
    for name in (*call_style.positional, *call_style.names):
        if name not in ARGUMENTS:
            raise PortError(
                "signature",
                f"{name!r} is no argument of the loss",
                f"the arguments are {', '.join(ARGUMENTS)}",
            )


def _recognised_names(
    parameters: _Parameters, call_style: CallStyle
) -> tuple[Mapping[str, str], list[str]]:
    """The port's names of our arguments: as told, as ours, or recognised; and remarks on these."""
    names = dict(call_style.names)
    known = {*names, *call_style.positional, *parameters}
    open_kinds = {parameter.kind for parameter in parameters.values()}
    remarks = []
    for ours in (*MAPS, "mask"):
        if ours in known or (ours in MAPS and inspect.Parameter.VAR_KEYWORD in open_kinds):
            continue
        found = _recognised(ours, parameters)
        if found is not None and found not in names.values():
            names[ours] = found
            remarks.append(f"{found} is taken for the {ours}")
        elif ours in MAPS:
            taken = ", ".join(parameters) or "nothing"
            raise PortError(
                "signature",
                f"the port has no argument {ours!r}; it takes ({taken})",
                _advice(parameters),
            )
    return names, remarks


def _recognised(ours: str, parameters: _Parameters) -> str | None:
    if ours in MAPS and all(name in parameters for name in _KERAS_NAMES.values()):
        return _KERAS_NAMES[ours]
    sizes = named_sizes(parameters)
    alike = [
        name
        for name, parameter in parameters.items()
        if ours in name.lower() and parameter.kind in _BY_NAME and name not in sizes
    ]
    return alike[0] if len(alike) == 1 else None


def _needs_mask(parameters: _Parameters, names: Mapping[str, str], call_style: CallStyle) -> bool:
    if "mask" in call_style.positional:
        place = call_style.positional.index("mask")
        parameter = dict(enumerate(parameters.values())).get(place)
    else:
        parameter = parameters.get(names.get("mask", "mask"))
    return (
        parameter is not None
        and parameter.default is inspect.Parameter.empty
        and parameter.kind not in _OPEN
    )


def _check_complete(parameters: _Parameters, fitted: FittedCall) -> None:
    """Every parameter without a default must be one that the kit passes."""
    passed = {fitted.names.get(name, name) for name in (*MAPS, *fitted.accepts)} | set(fitted.sizes)
    count = len(fitted.call_style.positional)
    by_position = {
        name
        for name, parameter in list(parameters.items())[:count]
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY
    }
    missing = [
        name
        for name, parameter in parameters.items()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind not in _OPEN
        and name not in by_position
        and (name not in passed or parameter.kind is inspect.Parameter.POSITIONAL_ONLY)
    ]
    if missing:
        raise PortError(
            "signature",
            f"the port asks for {_quoted(missing)}, which the kit does not know how to fill",
            _binding(fitted.function, missing) or _advice(parameters),
        )


def _binding(function: Callable[..., Any], missing: Iterable[str]) -> str:
    """How to give a class what its constructor needs; empty where that is not what is missing."""
    made: Any = getattr(function, "__wrapped_class__", None)
    if made is None or not set(missing) <= set(inspect.signature(made).parameters):
        return ""
    given = ", ".join(f"{name}=..." for name in missing)
    return (
        "make the object in a function of your own, which is the port: "
        f"def loss(teacher, student): return {made.__name__}({given})(...)"
    )


def _advice(parameters: _Parameters) -> str:
    """What to type, with the port's own names in it; which is which only where names tell."""
    if len(parameters) < 2:
        return "a port is a function port(*, teacher, student) that returns the loss"
    alike = {ours: _alike(ours, parameters) for ours in MAPS}
    positional = [
        name
        for name, parameter in parameters.items()
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY
    ]
    if positional:
        order = [next((o for o in MAPS if alike[o] == name), "") for name in positional]
        told = ",".join(order) if all(order) else "NAMES (teacher,student or student,teacher)"
        advice = f"pass them by position: --positional {told}"
    else:
        advice = "say which is which: " + " ".join(
            f"--{ours}-name {alike[ours] or '|'.join(list(parameters)[:2])}" for ours in MAPS
        )
    return f"{advice}; give further arguments a default"


def _alike(ours: str, parameters: _Parameters) -> str:
    """The one parameter whose name has a word that is likely ours; empty where none has."""
    found = [
        name
        for name in parameters
        if _ALIKE[ours] & set(re.split(r"[_\d]+", re.sub("([A-Z])", r"_\1", name).lower()))
    ]
    return found[0] if len(found) == 1 else ""


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)
