"""Each check as a test of its own, in a test suite of yours.

>>> from amad_core.conformance import parametrize_with_checks
>>> from amad_core import amad_loss as my_loss
>>> @parametrize_with_checks([my_loss], variant="kl")
... def test_my_port(check):
...     check()
"""

import inspect
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

from amad_core.conformance.examination import check_port
from amad_core.conformance.inputs.terms import Terms
from amad_core.conformance.judging.checks import CHECKS
from amad_core.conformance.judging.checks.result import FAILED, SKIPPED
from amad_core.conformance.ports.opening import name_of
from amad_core.conformance.reports.report import Report
from amad_core.conformance.reports.rows import counted


class BoundCheck:
    """One check of one port, to be called in a test."""

    def __init__(self, name: str, port: str, examine: Callable[[], Report]) -> None:
        self.name, self.port, self.examine = name, port, examine

    def __call__(self) -> None:
        """Skip the test or let it fail, as the check came out.

        Raises:
            AssertionError: the port fails it, or cannot be used at all.
        """
        import pytest

        __tracebackhide__ = True  # what a reader wants to see is the message
        report = self.examine()
        if report.error is not None:
            raise AssertionError(f"{report.headline}. {report.error.hint}")
        result = next(check for check in report.checks if check.name == self.name)
        if result.status == SKIPPED:
            pytest.skip(result.detail)
        if result.status == FAILED:
            found, inputs = report.findings, counted(result.cases, "input")
            raise AssertionError(
                f"{found.names}: {result.failed_cases} of {inputs} wrong\n"
                f"{result.detail}\n{found.advice}"
            )

    def __repr__(self) -> str:
        return f"<check {self.name!r} of {self.port}>"


def parametrize_with_checks(ports: Sequence[str | Callable[..., Any]], **options: Any) -> Any:
    """A decorator that runs a test once for every check of every port.

    The test takes one argument, ``check``, and calls it. Test ids read ``my_loss-gradient``.
    Nothing is loaded or called while tests are collected; the first test of a port examines it, and
    the others say what came of it.

    Args:
        ports: callables, which run in this process, or strings, which run in their own.
        options: those of :func:`amad_core.conformance.check_port`.

    Returns:
        ``pytest.mark.parametrize("check", ...)``.

    Raises:
        TypeError, ValueError: an option that ``check_port`` or the specification does not have.
    """
    import pytest

    _check_options(options)
    parameters = []
    for port in ports:
        examine, name = cache(partial(check_port, port, **options)), name_of(port)
        parameters += [
            pytest.param(BoundCheck(check, name, examine), id=f"{_id_of(port)}-{check}")
            for check in CHECKS
        ]
    return pytest.mark.parametrize("check", parameters)


def _check_options(options: dict[str, Any]) -> None:
    """Where tests are collected already: a wrong option fails once, not in every test."""
    inspect.signature(check_port).bind(None, **options)
    words = ("variant", "temperature", "reduction", "eps")
    Terms(**{name: options[name] for name in words if name in options})


def _id_of(port: str | Callable[..., Any]) -> str:
    return port if isinstance(port, str) else getattr(port, "__name__", type(port).__name__)
