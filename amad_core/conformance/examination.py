"""Examine a port: run every check, explain what is wrong, report."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from amad_core import __version__
from amad_core.conformance.diagnosis.explanation import explained
from amad_core.conformance.inputs.borders import prepared
from amad_core.conformance.inputs.terms import Terms
from amad_core.conformance.judging.checks import CHECKS, CheckResult
from amad_core.conformance.judging.checks.result import skipped
from amad_core.conformance.judging.examinee import Examinee
from amad_core.conformance.ports.answer import PortError
from amad_core.conformance.ports.call_style import CallStyle
from amad_core.conformance.ports.port import Port, open_port, plainest_case
from amad_core.conformance.ports.process import TIME_LIMIT, IsolatedPort
from amad_core.conformance.reports.report import Report
from amad_core.conformance.reports.snippet import snippet

_HOPELESS = {
    "died": "the port is gone",
    "time": "the port is gone",
    "output": "the port returns no loss",
}

Progress = Callable[[str], None]


def check_port(
    port: str | Callable[..., object],
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
    isolate: bool | None = None,
    positional: Sequence[str] = (),
    names: dict[str, str] | None = None,
    layers: bool = False,
    output: str | None = None,
    progress: Progress | None = None,
) -> Report:
    """Tell whether a port of the loss is right, and if not, which mistake it makes.

    Args:
        port: a callable ``port(*, teacher, student)`` on NumPy, PyTorch, TensorFlow or JAX arrays
            that returns the loss, or ``"PATH_OR_MODULE:FUNCTION"``. Options of
            :func:`amad_core.amad_loss` that its signature has are passed to it.
        variant, temperature, reduction, eps: what the port computes; it is judged by these.
        mask: judge masks; ``None``: if the port takes one.
        framework: ``"numpy"``, ``"torch"``, ``"tensorflow"``, ``"jax"``; ``None`` finds out.
        gradients: judge gradients, where the framework has them.
        seed: of everything drawn; the same seed gives the same examination.
        max_examples: how many inputs Hypothesis draws.
        time_limit: seconds that one call may take in a process of its own.
        isolate: run the port in a process of its own, where it may hang or crash. ``None``: only
            a port that is given as a string. A callable runs in this process.
        positional: arguments to pass by position, in order.
        names: the port's own argument names by ours, ``{"teacher": "att_t"}``.
        layers: the port takes lists of maps, one a layer.
        output: key, index or attribute of the loss in what the port returns.
        progress: called with the title of each check before it runs.

    Returns:
        The report; ``report.raise_if_failed()`` turns it into an assertion.

    Raises:
        TypeError, ValueError: an option that the specification does not have. What the port does
            is never raised: it is in the report.
    """
    terms = Terms(variant, temperature, reduction, eps, mask, gradients, layers)
    call_style = CallStyle(tuple(positional), names or {}, layers, output)
    start = time.perf_counter()
    blank = Report(
        target=port if isinstance(port, str) else getattr(port, "__qualname__", repr(type(port))),
        terms=terms,
        description=None,
        checks=(),
        seed=seed,
        max_examples=max_examples,
        version=__version__,
    )
    try:
        opened = open_for(port, terms, call_style, framework, time_limit, isolate)
    except PortError as error:
        return replace(blank, error=error, seconds=time.perf_counter() - start)
    try:
        examinee = Examinee(opened, terms, seed, max_examples)
        report = examine(examinee, replace(blank, target=opened.description.name), progress)
        return replace(
            report, snippet=_snippet(report, call_style), seconds=time.perf_counter() - start
        )
    finally:
        opened.close()


def open_for(
    port: str | Callable[..., object],
    terms: Terms,
    call_style: CallStyle,
    framework: str | None,
    time_limit: float,
    isolate: bool | None,
) -> Port:
    """The port, opened in this process or its own, and called once as the claim says.

    Raises:
        PortError: it cannot be loaded, or fails on the plainest input.
    """
    probe = prepared(plainest_case(), terms, 0)
    opened: Port
    if isinstance(port, str) and isolate is not False:
        opened = IsolatedPort(
            port, framework=framework, call_style=call_style, probe=probe, time_limit=time_limit
        )
    elif isolate:
        raise PortError(
            "function",
            "a callable cannot be sent to another process",
            "give it as a string, 'PATH_OR_MODULE:FUNCTION'",
        )
    else:
        opened = open_port(port, framework=framework, call_style=call_style, probe=probe)
    if terms.masks and "mask" not in opened.description.accepts:
        opened.close()
        raise PortError(
            "signature",
            "the port takes no argument 'mask'",
            "name it: --mask-name NAME; or leave masks out: --no-mask",
        )
    return opened


def examine(examinee: Examinee, blank: Report, progress: Progress | None = None) -> Report:
    """Run all checks on an opened port, and explain what fails."""
    results: list[CheckResult] = []
    for name in CHECKS:
        if progress:
            progress(CHECKS[name].title)
        results.append(_unless_gone(examinee, name, results))
    report = replace(blank, description=examinee.port.description, checks=tuple(results))
    if not report.failed:
        return report
    if progress:
        progress("looking for the mistake")
    return replace(report, findings=explained(examinee.judgements, report.failed))


def run_check(examinee: Examinee, name: str) -> CheckResult:
    """Run one check by its name in :data:`CHECKS`."""
    start = time.perf_counter()
    result = CHECKS[name].run(examinee)
    return result.named(name, CHECKS[name].title, time.perf_counter() - start)


def _unless_gone(examinee: Examinee, name: str, results: list[CheckResult]) -> CheckResult:
    """After a port has hung or died it answers no more: say so once, not in every check."""
    for result in results:
        trouble = result.worst.answer.trouble if result.worst else None
        if trouble is not None and trouble.kind in _HOPELESS:
            return skipped(_HOPELESS[trouble.kind]).named(name, CHECKS[name].title, 0.0)
    return run_check(examinee, name)


def _snippet(report: Report, call_style: CallStyle) -> str:
    if report.worst is None or report.description is None:
        return ""
    return snippet(report.target, report.description.framework, report.worst.case, call_style)


__all__ = ["check_port", "examine", "open_for", "run_check"]
