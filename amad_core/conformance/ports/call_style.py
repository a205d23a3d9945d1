"""How a port wants to be called: its argument names, their order, lists of layers, its output."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from amad_core.conformance.ports.answer import PortError

MAPS = ("teacher", "student")
OPTIONS = ("variant", "temperature", "reduction", "mask", "eps", "weight", "bias")
ARGUMENTS = (*MAPS, *OPTIONS)

_KERAS_NAMES = {"teacher": "y_true", "student": "y_pred"}


@dataclass(frozen=True)
class CallStyle:
    """What a user says about a port that is not ``port(*, teacher, student)``.

    Attributes:
        positional: the arguments passed by position, in their order; the others go by name.
        names: the port's own name of an argument, by ours: ``{"teacher": "att_t"}``.
        layers: the port takes a list of maps, one a layer, and adds the layers' losses up.
        output: key, index or attribute of the loss in what the port returns; ``None`` where it
            returns the loss.
    """

    positional: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    layers: bool = False
    output: str | None = None


@dataclass(frozen=True)
class FittedCall:
    """A convention fitted to one port.

    Attributes:
        accepts: which of :data:`OPTIONS` can be passed.
        needs_mask: the port's mask has no default: it gets one where all cells count, too.
        remark: how the arguments were matched where it is not obvious; may be empty.
    """

    call_style: CallStyle
    names: Mapping[str, str]
    accepts: frozenset[str]
    remark: str = ""
    needs_mask: bool = False

    def arguments(self, given: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Positional and keyword arguments of one call, from ours; what it takes not is left out.

        With ``layers``, ``teacher``, ``student`` and ``mask`` are lists already.
        """
        passed = {name: value for name, value in given.items() if self._takes(name)}
        order = [name for name in self.call_style.positional if name in passed]
        by_name = {
            self.names.get(name, name): value for name, value in passed.items() if name not in order
        }
        return [passed[name] for name in order], by_name

    def loss_in(self, returned: Any) -> Any:
        """The loss within what the port returned.

        Raises:
            LookupError: no such key, index or attribute.
        """
        output = self.call_style.output
        if output is None:
            return returned
        if isinstance(returned, Mapping):
            return returned[output]
        if output.lstrip("-").isdigit():
            return returned[int(output)]
        if not hasattr(returned, output):
            raise LookupError(output)
        return getattr(returned, output)

    def _takes(self, name: str) -> bool:
        return name in MAPS or name in self.accepts


def fit(function: Callable[..., Any], call_style: CallStyle) -> FittedCall:
    """Match a convention with the port's signature.

    Raises:
        PortError: the signature has no place for teacher or student, or asks for more.
    """
    _check_names(call_style)
    parameters = _parameters(function)
    if parameters is None:
        return FittedCall(call_style, dict(call_style.names), frozenset(call_style.positional))
    names, remark = _map_names(parameters, call_style)
    accepts = frozenset(
        option
        for option in OPTIONS
        if option in call_style.positional
        or option in call_style.names
        or (option in parameters and parameters[option].kind in _BY_NAME)
    )
    needs_mask = "mask" in accepts and _needs_mask(parameters, names, call_style)
    fitted = FittedCall(call_style, names, accepts, remark, needs_mask)
    _check_complete(parameters, fitted)
    return fitted


_BY_NAME = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_Parameters = Mapping[str, inspect.Parameter]


def _check_names(call_style: CallStyle) -> None:
    for name in (*call_style.positional, *call_style.names):
        if name not in ARGUMENTS:
            raise PortError(
                "signature",
                f"{name!r} is no argument of the loss",
                f"the arguments are {', '.join(ARGUMENTS)}",
            )


def _parameters(function: Callable[..., Any]) -> _Parameters | None:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return None


def _map_names(parameters: _Parameters, call_style: CallStyle) -> tuple[Mapping[str, str], str]:
    """The port's names of teacher and student: as told, as ours, or recognised."""
    names = dict(call_style.names)
    open_kinds = {parameter.kind for parameter in parameters.values()}
    remarks = []
    for ours in MAPS:
        if ours in names or ours in call_style.positional or ours in parameters:
            continue
        if inspect.Parameter.VAR_KEYWORD in open_kinds:
            continue
        found = _recognised(ours, parameters)
        if found is None:
            raise PortError("signature", _no_place(ours, parameters), _advice(parameters))
        names[ours] = found
        remarks.append(f"{found} is taken for the {ours}")
    return names, "; ".join(remarks)


def _needs_mask(parameters: _Parameters, names: Mapping[str, str], call_style: CallStyle) -> bool:
    if "mask" in call_style.positional:
        place = call_style.positional.index("mask")
        parameter = dict(enumerate(parameters.values())).get(place)
    else:
        parameter = parameters.get(names.get("mask", "mask"))
    return (
        parameter is not None
        and parameter.default is inspect.Parameter.empty
        and parameter.kind in (*_BY_NAME, inspect.Parameter.POSITIONAL_ONLY)
    )


def _recognised(ours: str, parameters: _Parameters) -> str | None:
    if all(name in parameters for name in _KERAS_NAMES.values()):
        return _KERAS_NAMES[ours]
    alike = [
        name
        for name, parameter in parameters.items()
        if ours in name.lower() and parameter.kind in _BY_NAME
    ]
    return alike[0] if len(alike) == 1 else None


def _check_complete(parameters: _Parameters, fitted: FittedCall) -> None:
    """Every parameter without a default must be one that the kit passes."""
    passed = {fitted.names.get(name, name) for name in (*MAPS, *fitted.accepts)}
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
        and parameter.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        and name not in by_position
        and (name not in passed or parameter.kind is inspect.Parameter.POSITIONAL_ONLY)
    ]
    if missing:
        raise PortError(
            "signature",
            f"the port asks for {_listed(missing)}, which the kit does not know how to fill",
            _advice(parameters),
        )


def _no_place(ours: str, parameters: _Parameters) -> str:
    return f"the port has no argument {ours!r}; it takes ({', '.join(parameters) or 'nothing'})"


def _advice(parameters: _Parameters) -> str:
    """What to type, with the port's own names in it."""
    if len(parameters) < 2:
        return "a port is a function port(*, teacher, student) that returns the loss"
    first, second = list(parameters)[:2]
    return (
        f"name them: --teacher-name {first} --student-name {second} (or the other way round), "
        "pass them by position: --positional teacher,student; "
        "give further arguments a default"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
