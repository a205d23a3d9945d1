"""Each check as a test of its own, in a test suite of yours.

>>> from amad_core.conformance import parametrize_with_checks
>>> @parametrize_with_checks([my_loss], variant="kl")
... def test_my_port(check):
...     check()
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from amad_core.conformance.examination import open_for, run_check
from amad_core.conformance.inputs.terms import Terms
from amad_core.conformance.judging.checks import CHECKS
from amad_core.conformance.judging.checks.result import FAILED, SKIPPED
from amad_core.conformance.judging.examinee import Examinee
from amad_core.conformance.ports.answer import PortError
from amad_core.conformance.ports.call_style import CallStyle
from amad_core.conformance.ports.process import TIME_LIMIT


@dataclass
class _Examined:
    """A port that is opened when its first check runs, and then shared by the others."""

    open: Callable[[], Examinee]
    examinee: Examinee | None = None

    def get(self) -> Examinee:
        if self.examinee is None:
            self.examinee = self.open()
        return self.examinee


@dataclass(frozen=True)
class BoundCheck:
    """One check of one port, to be called in a test."""

    name: str
    examined: _Examined

    def __call__(self) -> None:
        """Run the check.

        Raises:
            AssertionError: the port fails it, or cannot be used at all.
        """
        import pytest

        try:
            examinee = self.examined.get()
        except PortError as error:
            raise AssertionError(f"{error.message}. {error.hint}".strip()) from None
        result = run_check(examinee, self.name)
        if result.status == SKIPPED:
            pytest.skip(result.detail)
        if result.status == FAILED:
            raise AssertionError(
                f"{result.title}: {result.failed_cases} of {result.cases} inputs wrong; "
                f"{result.detail}"
            )


def parametrize_with_checks(
    ports: Sequence[str | Callable[..., Any]],
    *,
    variant: str = "mse",
    temperature: float = 1.0,
    reduction: str = "mean",
    eps: float = 0.0,
    mask: bool | None = None,
    framework: str | None = None,
    gradients: bool = True,
    seed: int = 0,
    max_examples: int = 100,
    time_limit: float = TIME_LIMIT,
    positional: Sequence[str] = (),
    names: dict[str, str] | None = None,
    layers: bool = False,
    output: str | None = None,
) -> Any:
    """A decorator that runs a test once for every check of every port.

    The test takes one argument, ``check``, and calls it. Test ids read ``my_loss-gradient``.
    Nothing is loaded or called while tests are collected. All arguments but the first are those of
    ``check_port``.

    Args:
        ports: callables, which run in this process, or strings, which run in their own.

    Returns:
        ``pytest.mark.parametrize("check", ...)``.

    Raises:
        TypeError, ValueError: an option that the specification does not have.
    """
    import pytest

    terms = Terms(variant, temperature, reduction, eps, mask, gradients, layers)
    call_style = CallStyle(tuple(positional), names or {}, layers, output)

    def opener(port: str | Callable[..., Any]) -> Callable[[], Examinee]:
        def open_it() -> Examinee:
            opened = open_for(port, terms, call_style, framework, time_limit, None)
            return Examinee(opened, terms, seed, max_examples)

        return open_it

    parameters = []
    for port in ports:
        examined = _Examined(opener(port))
        parameters += [
            pytest.param(BoundCheck(name, examined), id=f"{_id_of(port)}-{name}") for name in CHECKS
        ]
    return pytest.mark.parametrize("check", parameters)


def _id_of(port: str | Callable[..., Any]) -> str:
    if isinstance(port, str):
        return port
    return str(getattr(port, "__name__", type(port).__name__))
