"""The outcome of an examination: for people, for programs, for test suites."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amad_core.conformance.inputs.terms import Terms
from amad_core.conformance.judging.checks.result import DECISION, FAILED, PASSED, CheckResult
from amad_core.conformance.judging.judgement import Judgement
from amad_core.conformance.ports.answer import PortError
from amad_core.conformance.ports.call_style import CallStyle
from amad_core.conformance.ports.port import Description
from amad_core.conformance.reports import rows
from amad_core.conformance.reports.explanation import NOTHING_FOUND, Explanation, Findings
from amad_core.conformance.reports.rows import Row, Section, counted
from amad_core.conformance.reports.snippet import snippet
from amad_core.conformance.reports.text import as_text

SCHEMA = "amad-report/1"
"""The layout of :meth:`Report.to_json`; it changes when a field changes its meaning."""

EXIT_CODES = {"right": 0, "wrong": 1, "unusable": 2}


@dataclass(frozen=True)
class Report:
    """What was found out about a port.

    Attributes:
        target: the port, as named by the user.
        terms: what it was judged by.
        description: what is known of it; ``None`` where it could not be loaded.
        checks: outcomes in the order of :data:`amad_core.conformance.judging.checks.CHECKS`.
        error: why it could not be loaded or called; else ``None``.
        findings: what is wrong: explanations, hints and facts; nothing where the port is right.
        call_style: how the port was called; ``None`` where it was not called from here.
        seed, max_examples: repeat the examination.
        seconds: how long it took.
        version: of the kit.
    """

    target: str
    terms: Terms
    description: Description | None
    checks: tuple[CheckResult, ...]
    error: PortError | None = None
    findings: Findings = NOTHING_FOUND
    call_style: CallStyle | None = None
    seed: int = 0
    max_examples: int = 0
    seconds: float = 0.0
    version: str = ""

    @property
    def verdict(self) -> str:
        """``"right"``, ``"wrong"``, or ``"unusable"``: cannot be loaded or called."""
        if self.error is not None:
            return "unusable"
        return "wrong" if self.failed else "right"

    @property
    def passed(self) -> bool:
        """Whether the port is right."""
        return self.verdict == "right"

    @property
    def exit_code(self) -> int:
        """0 right, 1 wrong, 2 unusable."""
        return EXIT_CODES[self.verdict]

    @property
    def explanations(self) -> tuple[Explanation, ...]:
        """Known mistakes that together reproduce what the port gives."""
        return self.findings.explanations

    @property
    def hints(self) -> tuple[str, ...]:
        """Questions to the user, one sentence each."""
        return self.findings.hints

    @property
    def facts(self) -> tuple[str, ...]:
        """What else was found out, one sentence each."""
        return self.findings.facts

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """The checks that failed."""
        return self.of_status(FAILED)

    def of_status(self, *statuses: str) -> tuple[CheckResult, ...]:
        """The checks of these outcomes."""
        return tuple(check for check in self.checks if check.status in statuses)

    @property
    def worst(self) -> Judgement | None:
        """The smallest wrong input: the drawn and shrunk one, or the smallest designed one."""
        wrong = [check.worst for check in self.failed if check.worst is not None]
        return min(wrong, key=lambda judgement: judgement.case.student.size, default=None)

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        if self.error is not None:
            return f"cannot be used: {self.error.message}"
        judged = len(self.of_status(PASSED, DECISION, FAILED))
        if self.failed:
            return f"wrong: {len(self.failed)} of {counted(judged, 'check')} failed"
        notes = len(self.of_status(DECISION))
        told = f", {notes} with a note" if notes else ""
        return f"right: {counted(judged, 'check')} passed{told}"

    @property
    def snippet(self) -> str:
        """A script that shows the smallest wrong input; empty where there is none to call."""
        if self.worst is None or self.call_style is None or self.description is None:
            return ""
        known = self.description
        found = known.mask_form if self.worst.case.mask is not None else None
        style = replace(self.call_style, mask_form=found)
        dtype = self.worst.asked_in if self.worst.asked_in != known.dtypes[0] else None
        return snippet(self.target, known.framework, self.worst.case, style, dtype)

    @property
    def sections(self) -> tuple[Section, ...]:
        """What a person is shown, the port first and the verdict last."""
        kit = f"amad {self.version}, seed {self.seed}"
        sections = [rows.of_port(self.target, self.terms, self.description, kit)]
        if self.error is not None:
            sections.append(rows.of_error(self.error))
        if self.checks:
            sections.append(rows.of_checks(self.checks))
        if self.failed and (self.explanations or self.facts):
            sections.append(rows.of_findings(self.findings))
        if self.worst is not None:
            sections.append(rows.of_worst(self.worst))
        if self.snippet:
            sections.append(Section("To see it for yourself, run", script=self.snippet))
        summary = "cannot be judged" if self.error else self.headline.partition(": ")[2]
        took = f" ({self.seconds:.1f} s)"
        verdict = Row(self.verdict.upper(), summary, took, style=self.verdict)
        return (*sections, Section("", (verdict,)))

    def raise_if_failed(self) -> None:
        """Raise ``AssertionError`` with the report as its message, unless the port is right."""
        if not self.passed:
            raise AssertionError(str(self))

    def to_json(self) -> dict[str, Any]:
        """Plain data, ready for ``json.dumps``: no NaN, no arrays."""
        return {
            "schema": SCHEMA,
            "version": self.version,
            "target": self.target,
            "verdict": self.verdict,
            "passed": self.passed,
            "headline": self.headline,
            "judged_as": asdict(self.terms),
            "port": self.description.as_json() if self.description else None,
            "seed": self.seed,
            "max_examples": self.max_examples,
            "seconds": round(self.seconds, 3),
            "error": _error_data(self.error),
            "checks": [_check_data(check) for check in self.checks],
            "explanations": [explanation.as_json() for explanation in self.explanations],
            "hints": list(self.hints),
            "facts": list(self.facts),
            "worst_case": _judgement_data(self.worst),
            "snippet": self.snippet,
        }

    def __str__(self) -> str:
        """The report as plain text."""
        return as_text(self.sections)


def _error_data(error: PortError | None) -> dict[str, str] | None:
    if error is None:
        return None
    return {"kind": error.kind, "message": error.message, "hint": error.hint}


def _check_data(check: CheckResult) -> dict[str, Any]:
    names = ("name", "title", "status", "detail", "cases", "failed_cases", "mistake")
    data = {name: getattr(check, name) for name in names}
    return data | {"seconds": round(check.seconds, 3)}


def _judgement_data(judgement: Judgement | None) -> dict[str, Any] | None:
    if judgement is None:
        return None
    case, found = judgement.case, judgement.answer
    arrays = {name: getattr(case, name) for name in ("teacher", "student", "mask")}
    options = {name: getattr(case, name) for name in ("variant", "temperature", "reduction", "eps")}
    return {
        "name": case.name,
        "dtype": judgement.dtype,
        "options": options,
        **{name: _array_data(array) for name, array in arrays.items()},
        "value": _array_data(found.value),
        "expected_value": _array_data(judgement.expected.value),
        "gradient": _array_data(found.grad_student),
        "expected_gradient": _array_data(judgement.expected.grad_student),
    }


def _array_data(array: NDArray[Any] | None) -> Any:
    return None if array is None else _plain(np.asarray(array).tolist())


def _plain(value: Any) -> Any:
    """Nested lists with the names of the numbers that JSON has not."""
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
