"""Open a port: load it, find its framework and the way it is called, and call it once."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np

from amad_core.arguments.extras import install_hint
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.ports.answer import PortError
from amad_core.conformance.ports.call_style import CallStyle, FittedCall
from amad_core.conformance.ports.constructed import as_function
from amad_core.conformance.ports.detection import candidates
from amad_core.conformance.ports.frameworks import MODULES, Framework, load_framework
from amad_core.conformance.ports.loading import load_function
from amad_core.conformance.ports.port import Description, LocalPort
from amad_core.conformance.ports.probing import (
    CLOSE,
    Called,
    called,
    in_its_precision,
    runs_on_batches,
)
from amad_core.conformance.ports.signature import fit

_LISTS = "if it takes lists of maps, one a layer, say so: --layers"

_OF_ANOTHER_KIND = (AttributeError, TypeError, ValueError)
"""What a port raises that gets arrays of another framework and only calls their methods."""


def open_port(
    port: str | Callable[..., Any],
    *,
    framework: str | None = None,
    call_style: CallStyle | None = None,
    probe: Case | None = None,
    own_process: bool = False,
    phase: Callable[[str], None] = lambda name: None,
) -> LocalPort:
    """Load a port, find its framework and its way of being called, and call it.

    Args:
        port: a callable, or ``"PATH_OR_MODULE:FUNCTION"``.
        framework: its framework; ``None`` finds out.
        call_style: how it wants to be called, where that is not ``port(*, teacher, student)``.
        probe: the case to call it with; ``None``: ``plainest_case``.
        own_process: this process is there for the port alone, and may be set up for it.
        phase: told ``"loading"`` before anything is imported, ``"calling"`` before calls.

    Raises:
        PortError: it cannot be loaded, or fails on the plainest input.
    """
    probe = probe or plainest_case()
    opener = _Opener(name_of(port), probe, own_process, phase)
    if framework:
        opener.load(framework)
    phase("loading")
    function = load_function(port) if isinstance(port, str) else as_function(port)
    fitted = fit(function, call_style or CallStyle())
    try:
        opened = opener.open(fitted, framework)
    except PortError as error:
        if opener.takes_lists(fitted, framework or next(iter(candidates(function))), None):
            raise PortError(error.kind, error.message, _LISTS) from error
        raise
    if opened.error > CLOSE and opener.takes_lists(fitted, opened.port.framework.name, opened.port):
        raise PortError("call", "the port fails on maps of one layer", _LISTS)
    return in_its_precision(opened)


def plainest_case() -> Case:
    """What every port must be able to take: one sample, two heads, two queries, three keys."""
    rows = np.array([[[[6, 1, 1], [2, 4, 2]], [[1, 1, 6], [1, 5, 2]]]]) / 8
    return Case("plainest", rows, np.flip(rows, axis=-1).copy())


def name_of(port: str | Callable[..., Any]) -> str:
    """What reports call a port: the target as given, or the module and name of a function."""
    if isinstance(port, str):
        return port
    module, name = getattr(port, "__module__", ""), getattr(port, "__qualname__", "")
    return f"{module}:{name}" if module and name else type(port).__name__


class _Opener:
    """What all tries to open one port have in common."""

    def __init__(
        self, name: str, probe: Case, own_process: bool, phase: Callable[[str], None]
    ) -> None:
        self._name, self._probe = name, probe
        self._own_process, self._phase = own_process, phase

    def open(self, fitted: FittedCall, framework: str | None) -> Called:
        """In the framework that is told, or in the first that works.

        Raises:
            PortError: what the likeliest framework gave, where none works.
        """
        if framework:
            return self._open_in(fitted, framework, "as told")
        tried: dict[str, PortError] = {}
        for name, reason in _in_turn(fitted.function, tried):
            try:
                opened = self._open_in(fitted, name, reason)
            except PortError as error:
                tried[name] = error
                continue
            return self._in_framework_of_answer(opened, tried)
        raise next(iter(tried.values()))

    def load(self, name: str) -> Framework:
        """The record of a framework, set up where this process is the port's own.

        Raises:
            PortError: it is not installed, or there is no such framework.
        """
        self._phase("loading")
        try:
            record = load_framework(name)
        except ImportError as error:
            said = f"{name} is not installed here ({error})"
            raise PortError("framework", said, install_hint(name)) from error
        except ValueError as error:
            raise PortError("framework", str(error)) from error
        if self._own_process:
            record.prepare()
        return record

    def takes_lists(self, fitted: FittedCall, framework: str, plain: LocalPort | None) -> bool:
        """Whether a port is right with lists, or runs with them only; ``plain`` has none."""
        if fitted.call_style.layers:
            return False
        style = replace(fitted.call_style, layers=True)
        try:
            lists = self._open_in(replace(fitted, call_style=style), framework, "")
        except PortError:
            return False
        if plain is None or lists.error < CLOSE:
            return True
        return runs_on_batches(lists.port, self._probe) and not runs_on_batches(plain, self._probe)

    def _open_in(self, fitted: FittedCall, name: str, reason: str) -> Called:
        record = self.load(name)
        self._phase("calling")
        description = Description(
            name=self._name,
            framework=name,
            reason=reason,
            versions=record.version,
            accepts=tuple(sorted(fitted.accepts)),
            dtypes=record.dtypes,
            remark=fitted.remark,
        )
        return called(LocalPort(fitted, record, description), self._probe)

    def _in_framework_of_answer(self, opened: Called, tried: dict[str, PortError]) -> Called:
        """A port that answers with another framework's arrays is a port of that framework."""
        asked, answered = opened.port.framework.name, opened.answer.came_in
        if answered in ("", "numpy", asked, *tried):
            return opened
        reason = f"the port answers arrays of {asked} with those of {answered}"
        try:
            return self._open_in(opened.port.fitted, answered, reason)
        except PortError:
            return opened


def _in_turn(
    function: Callable[..., Any], tried: dict[str, PortError]
) -> Iterator[tuple[str, str]]:
    """Frameworks and why: what the code names or is imported, at last what is installed, too."""
    while left := {n: why for n, why in candidates(function).items() if n not in tried}:
        # Asked anew each time: a port may import its framework when it is first called.
        yield next(iter(left.items()))
    first = next(iter(tried.values()))
    if isinstance(first.__cause__, _OF_ANOTHER_KIND):
        for name in MODULES:
            if name not in tried and name not in sys.modules and find_spec(name):
                yield name, f"arrays of {' and '.join(tried)} do not work"
