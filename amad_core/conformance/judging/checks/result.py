"""The outcome of a check."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from amad_core.conformance.judging.judgement import Judgement

PASSED, FAILED, SKIPPED, DECISION = "passed", "failed", "skipped", "decision"
"""``DECISION``: the port decides what the specification leaves to it; no fault."""


@dataclass(frozen=True)
class CheckResult:
    """What one check found.

    Attributes:
        name, title: which check.
        status: ``"passed"``, ``"failed"``, ``"skipped"`` or ``"decision"``.
        detail: one sentence: what went wrong first, or why it was skipped.
        cases: how many inputs were judged; ``failed_cases`` of them were wrong.
        worst: the input to look at; ``None`` where none is wrong.
        mistake: name in the catalogue of mistakes, where the check alone tells it; may be empty.
        seconds: how long it took.
    """

    status: str
    detail: str = ""
    cases: int = 0
    failed_cases: int = 0
    worst: Judgement | None = None
    mistake: str = ""
    name: str = ""
    title: str = ""
    seconds: float = 0.0

    def named(self, name: str, title: str, seconds: float) -> "CheckResult":
        """The same outcome, as that of a check."""
        return replace(self, name=name, title=title, seconds=seconds)


def skipped(reason: str) -> CheckResult:
    """A check that does not apply."""
    return CheckResult(SKIPPED, reason)


def summed_up(problems: Iterable[tuple[Judgement, str]], passed: str = "") -> CheckResult:
    """One outcome of many judgements, each with its problem in words (empty: none)."""
    listed = list(problems)
    wrong = [(judgement, problem) for judgement, problem in listed if problem]
    if not wrong:
        return CheckResult(PASSED, passed, len(listed))
    # The smallest wrong input is the easiest to look at.
    judgement, problem = min(wrong, key=lambda pair: pair[0].case.student.size)
    return CheckResult(
        FAILED, f"{judgement.case.name}: {problem}", len(listed), len(wrong), judgement
    )
