"""Examine a port: run every check, explain what is wrong, report."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager

from amad_core import __version__
from amad_core.conformance.diagnosis.explanation import explained
from amad_core.conformance.inputs.borders import prepared
from amad_core.conformance.inputs.terms import Terms
from amad_core.conformance.judging.checks import CHECKS, CheckResult
from amad_core.conformance.judging.checks.result import FAILED, skipped
from amad_core.conformance.judging.examinee import Examinee
from amad_core.conformance.ports.answer import PortError
from amad_core.conformance.ports.call_style import CallStyle
from amad_core.conformance.ports.opening import name_of, open_port, plainest_case
from amad_core.conformance.ports.port import Description, Port
from amad_core.conformance.ports.process import TIME_LIMIT, IsolatedPort
from amad_core.conformance.reports.explanation import NOTHING_FOUND, Findings
from amad_core.conformance.reports.report import Report

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
    detached_teacher: bool = False,
    mask_form: str | None = None,
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
        detached_teacher: a gradient that reaches the teacher's maps is a fault; else a note, for
            the caller may detach.
        mask_form: ``"AXES:VALUES"``, how the port wants its mask. ``AXES`` is ``BQK``, ``B1QK``, or
            for masks of tokens ``BK`` or ``B11K``; ``VALUES`` is ``bool``, ``int`` or ``float``
            (1 for what counts), ``inverted`` (true for what does not), ``additive`` (0, else the
            dtype's smallest number), ``additive-inf`` or ``additive-1e4``. ``None`` finds out.
        progress: called with the title of each check before it runs.

    Returns:
        The report; ``report.raise_if_failed()`` turns it into an assertion.

    Raises:
        TypeError, ValueError: an option that the specification does not have. What the port does
            is never raised: it is in the report.
    """
    terms = Terms(variant, temperature, reduction, eps, mask, gradients, layers, detached_teacher)
    call_style = CallStyle(tuple(positional), names or {}, layers, output, mask_form)
    start = time.perf_counter()
    description: Description | None = None
    error: PortError | None = None
    checks: tuple[CheckResult, ...] = ()
    findings = NOTHING_FOUND
    try:
        with _opened(port, terms, call_style, framework, time_limit, isolate) as opened:
            description = opened.description
            examinee = Examinee(opened, terms, seed, max_examples)
            checks = _checked(examinee, progress)
            findings = _explained(examinee, checks, progress)
    except PortError as trouble:
        error = trouble
    return Report(
        target=name_of(port),
        terms=terms,
        call_style=call_style,
        description=description,
        error=error,
        checks=checks,
        findings=findings,
        seed=seed,
        max_examples=max_examples,
        seconds=time.perf_counter() - start,
        version=__version__,
    )


@contextmanager
def _opened(
    port: str | Callable[..., object],
    terms: Terms,
    call_style: CallStyle,
    framework: str | None,
    time_limit: float,
    isolate: bool | None,
) -> Iterator[Port]:
    """The port, opened in this process or its own, and called once on its terms.

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
    with closing(opened):
        if terms.masks and "mask" not in opened.description.accepts:
            raise PortError(
                "signature",
                "the port takes no argument 'mask'",
                "name it: --mask-name NAME; or leave masks out: --no-mask",
            )
        yield opened


def _checked(examinee: Examinee, progress: Progress | None) -> tuple[CheckResult, ...]:
    """The outcomes of all checks."""
    results: list[CheckResult] = []
    for name, check in CHECKS.items():
        if progress:
            progress(check.title)
        start = time.perf_counter()
        reason = _hopeless(results)
        result = skipped(reason) if reason else check.run(examinee)
        results.append(result.named(name, check.title, time.perf_counter() - start))
    return tuple(results)


def _hopeless(results: Sequence[CheckResult]) -> str:
    """Why no more need be asked: a port that has hung or died says so once, not in every check."""
    troubles = (result.worst.answer.trouble for result in results if result.worst)
    return next((_HOPELESS[one.kind] for one in troubles if one and one.kind in _HOPELESS), "")


def _explained(
    examinee: Examinee, checks: Sequence[CheckResult], progress: Progress | None
) -> Findings:
    """What is wrong, where something is."""
    failed = [check for check in checks if check.status == FAILED]
    if not failed:
        return NOTHING_FOUND
    if progress:
        progress("looking for the mistake")
    return explained(examinee.judgements, failed)
