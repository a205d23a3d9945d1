"""The checks on results computed elsewhere, in the order in which reports show them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from amad_core.conformance.judging.checks.result import (
    DECISION,
    FAILED,
    PASSED,
    CheckResult,
    skipped,
    summed_up,
)
from amad_core.conformance.judging.judgement import Judgement
from amad_core.conformance.vectors.reading import Golden, GoldenCase
from amad_core.conformance.vectors.results import Results
from amad_core.conformance.vectors.weights import weights_problem

_LISTED = 5
_NOT_ANSWERED = "none of these cases is answered"


@dataclass(frozen=True)
class Judged:
    """The results for one variant, held against the specification.

    Attributes:
        golden: the vectors.
        results: what was read.
        judgements: by case id, of those that are answered.
    """

    golden: Golden
    results: Results
    judgements: Mapping[str, Judgement]

    def of_kind(self, kind: str) -> list[Judgement]:
        """Answered cases of one kind."""
        return [
            self.judgements[vector.id]
            for vector in self.golden.cases
            if vector.id in self.judgements and kind_of(vector) == kind
        ]

    @property
    def with_gradient(self) -> list[Judgement]:
        """Answered cases with a gradient."""
        return [one for one in self.judgements.values() if one.answer.grad_student is not None]


def kind_of(vector: GoldenCase) -> str:
    """Which check a case belongs to."""
    case = vector.case
    if case.name == INFINITE and case.variant in _WITH_INFINITIES:
        return "infinite"
    if vector.degenerate:
        return "edges"
    if case.temperature != 1 or case.reduction != "mean" or case.eps:
        return "options"
    return "value" if case.mask is None else "mask"


INFINITE = "no-common-cell"
"""The design whose exact KL divergence is infinite, and whose JS divergence has no derivative."""

_WITH_INFINITIES = ("kl", "token", "js")


def check_all(judged: Judged) -> tuple[CheckResult, ...]:
    """Every check on the results of one variant."""
    return tuple(run(judged).named(name, title, 0.0) for name, (title, run) in _CHECKS.items())


def _complete(judged: Judged) -> CheckResult:
    ids = [vector.id for vector in judged.golden.cases]
    left_out = [case_id for case_id in ids if case_id in judged.results.skipped]
    missing = [
        case_id
        for case_id in ids
        if case_id not in judged.judgements and case_id not in judged.results.skipped
    ]
    if missing:
        return CheckResult(FAILED, f"missing: {_listed(missing)}", len(ids), len(missing))
    if len(left_out) == len(ids):
        return CheckResult(FAILED, "every case is left out: nothing was judged", len(ids), len(ids))
    if left_out:
        reason = judged.results.skipped[left_out[0]]
        detail = f"{len(left_out)} left out by the port ({reason}): {_listed(left_out)}"
        return CheckResult(DECISION, detail, len(ids))
    return CheckResult(PASSED, cases=len(ids))


def _values(judged: Judged) -> CheckResult:
    return _summed_up(judged.of_kind("value"), lambda one: one.value_problem)


def _gradients(judged: Judged) -> CheckResult:
    plain = judged.of_kind("value")
    if not any(one.answer.grad_student is not None for one in plain):
        return skipped("the results hold no gradients")
    return _summed_up(plain, lambda one: one.gradient_problem)


def _teacher(judged: Judged) -> CheckResult:
    taken = [one for one in judged.judgements.values() if one.answer.grad_teacher is not None]
    if not taken:
        return skipped("the results hold no gradient of the teacher")
    return _summed_up(
        taken,
        lambda one: f"a gradient of up to {one.leak:.3g} reaches the teacher" if one.leak else "",
    )


def _weights(judged: Judged) -> CheckResult:
    problems = []
    for vector in judged.golden.cases:
        given = judged.results.answers.get(vector.id)
        if given is not None and given.weights is not None:
            dtype = judged.results.dtype
            problem = weights_problem(given.weights, vector.weights, vector.case, dtype)
            problems.append((judged.judgements[vector.id], problem))
    return summed_up(problems) if problems else skipped("the results hold no weights")


def _both(kind: str) -> Callable[[Judged], CheckResult]:
    def check(judged: Judged) -> CheckResult:
        gradients = bool(judged.with_gradient)
        return _summed_up(
            judged.of_kind(kind),
            lambda one: one.value_problem or (one.gradient_problem if gradients else ""),
        )

    return check


def _infinite(judged: Judged) -> CheckResult:
    """Where the exact divergence is infinite, a port may stay finite by a floor of its own."""
    judgements = judged.of_kind("infinite")
    if not judgements:
        return skipped("this loss is always finite")
    for one in judgements:
        found, wanted = one.answer.value, one.expected.value
        if found is None or wanted is None:
            break
        if np.isfinite(found).all() and np.isposinf(wanted).all():
            detail = f"finite ({float(found):.4g}) by a floor; the exact divergence is infinite"
            return CheckResult(DECISION, detail, len(judgements))
    return _summed_up(judgements, lambda one: one.value_problem)


def _summed_up(judgements: Sequence[Judgement], problem: Callable[[Judgement], str]) -> CheckResult:
    if not judgements:
        return skipped(_NOT_ANSWERED)
    return summed_up([(one, problem(one)) for one in judgements])


def _listed(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _LISTED} more" if len(ids) > _LISTED else ""
    return ", ".join(ids[:_LISTED]) + more


_CHECKS: Mapping[str, tuple[str, Callable[[Judged], CheckResult]]] = {
    "complete": ("every case is answered", _complete),
    "value": ("values equal the specification's", _values),
    "gradient": ("gradients equal the specification's", _gradients),
    "teacher": ("no gradient reaches the teacher", _teacher),
    "weights": ("alignment weights equal the specification's", _weights),
    "options": ("other temperatures, reductions and floors", _both("options")),
    "mask": ("masked cells do not count", _both("mask")),
    "edges": ("borders of the definition", _both("edges")),
    "infinite": ("infinite divergences and derivatives", _infinite),
}
