"""The checks on results computed elsewhere, in the order in which reports show them."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from amad_core.attention.inputs import FloatArray, broadcast_mask, whole_maps
from amad_core.attention.similarity import l1_normalise
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.judging.checks.result import (
    DECISION,
    FAILED,
    PASSED,
    CheckResult,
    skipped,
    summed_up,
)
from amad_core.conformance.judging.judgement import Judgement
from amad_core.conformance.judging.tolerance import exceeds, relative_error
from amad_core.conformance.vectors.files import Golden
from amad_core.conformance.vectors.results import Results

VALUE, OPTIONS, MASK, EDGES, INFINITE = "value", "options", "mask", "edges", "infinite"
"""Kinds of cases: plain ones, other options, masks, borders, infinite divergences."""

Judgements = Mapping[str, Judgement]
"""By case id, of the cases that are answered."""

_INFINITE_DESIGN, _WITH_INFINITIES = "no-common-cell", ("kl", "token", "js")
"""The exact KL divergence is infinite there, and the JS divergence has no derivative."""

_LISTED = 5


def kind_of(golden: Golden, case_id: str) -> str:
    """Which check a case belongs to."""
    case = golden.cases[case_id]
    if case.name == _INFINITE_DESIGN and case.variant in _WITH_INFINITIES:
        return INFINITE
    if case_id in golden.degenerate:
        return EDGES
    if case.temperature != 1 or case.reduction != "mean" or case.eps:
        return OPTIONS
    return VALUE if case.mask is None else MASK


def check_all(golden: Golden, results: Results, judged: Judgements) -> tuple[CheckResult, ...]:
    """Every check on the results of one variant."""
    kinds: dict[str, list[Judgement]] = {k: [] for k in (VALUE, OPTIONS, MASK, EDGES, INFINITE)}
    for case_id, judgement in judged.items():
        kinds[kind_of(golden, case_id)].append(judgement)
    with_gradients = any(one.answer.grad_student is not None for one in judged.values())

    def both(kind: str) -> CheckResult:
        return _summed_up(
            kinds[kind],
            lambda one: one.value_problem or (one.gradient_problem if with_gradients else ""),
        )

    checks = {
        "complete": ("every case is answered", _complete(golden, results)),
        "value": ("values equal the specification's", _values(kinds[VALUE])),
        "gradient": ("gradients equal the specification's", _gradients(kinds[VALUE])),
        "teacher": ("no gradient reaches the teacher", _teacher(judged)),
        "weights": (
            "alignment weights equal the specification's",
            _weights(golden, results, judged),
        ),
        "options": ("other temperatures, reductions and floors", both(OPTIONS)),
        "mask": ("masked cells do not count", both(MASK)),
        "edges": ("borders of the definition", both(EDGES)),
        "infinite": ("infinite divergences and derivatives", _infinite(kinds[INFINITE])),
    }
    return tuple(result.named(name, title, 0.0) for name, (title, result) in checks.items())


def _complete(golden: Golden, results: Results) -> CheckResult:
    ids = list(golden.cases)
    left_out = [case_id for case_id in ids if case_id in results.skipped]
    missing = [name for name in ids if name not in results.answers and name not in results.skipped]
    if missing:
        return CheckResult(FAILED, f"missing: {_listed(missing)}", len(ids), len(missing))
    if len(left_out) == len(ids):
        return CheckResult(FAILED, "every case is left out: nothing was judged", len(ids), len(ids))
    if left_out:
        reason = results.skipped[left_out[0]]
        detail = f"{len(left_out)} left out by the port ({reason}): {_listed(left_out)}"
        return CheckResult(DECISION, detail, len(ids))
    return CheckResult(PASSED, cases=len(ids))


def _values(plain: Sequence[Judgement]) -> CheckResult:
    return _summed_up(plain, lambda one: one.value_problem)


def _gradients(plain: Sequence[Judgement]) -> CheckResult:
    if not any(one.answer.grad_student is not None for one in plain):
        return skipped("the results hold no gradients")
    return _summed_up(plain, lambda one: one.gradient_problem)


def _teacher(judged: Judgements) -> CheckResult:
    taken = [one for one in judged.values() if one.answer.grad_teacher is not None]
    if not taken:
        return skipped("the results hold no gradient of the teacher")
    return _summed_up(
        taken,
        lambda one: f"a gradient of up to {one.leak:.3g} reaches the teacher" if one.leak else "",
    )


def _weights(golden: Golden, results: Results, judged: Judgements) -> CheckResult:
    if not results.weights.keys() & judged.keys():
        return skipped("the results hold no weights")
    return summed_up(
        (one, _weights_problem(results.weights[case_id], golden.weights[case_id], one))
        for case_id, one in judged.items()
        if case_id in results.weights
    )


def _infinite(judgements: Sequence[Judgement]) -> CheckResult:
    """Where the exact divergence is infinite, a port may stay finite by a floor of its own."""
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
        return skipped("none of these cases is answered")
    return summed_up([(one, problem(one)) for one in judgements])


def _listed(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _LISTED} more" if len(ids) > _LISTED else ""
    return ", ".join(ids[:_LISTED]) + more


def _weights_problem(found: FloatArray, right: FloatArray, judgement: Judgement) -> str:
    """Why the weights are not right, in words; empty where they are."""
    # |Δa| <= 2 a |Δc| / τ; the relative error has the temperature in it.
    relative = relative_error(judgement.case, judgement.dtype)
    excess = exceeds(found, right, 2 * relative * _amplification(judgement.case) * right)
    if np.all(excess <= 1):
        return ""
    worst = tuple(int(i) for i in np.unravel_index(np.argmax(excess), excess.shape))
    return (
        f"the weight at {list(worst)} is {found[worst]:.6g}, the specification has "
        f"{right[worst]:.6g}"
    )


def _amplification(case: Case) -> float:
    """How much cancellation in eq. 10 enlarges the error of a projected head; else 1."""
    if case.weight is None or case.bias is None:
        return 1.0
    valid = broadcast_mask(case.mask, case.teacher.shape)[:, np.newaxis]
    unit = l1_normalise(whole_maps(np.where(valid, case.student, 0.0)))
    counted = whole_maps(valid)
    heads = np.where(counted, np.maximum(unit @ case.weight.T + case.bias, 0.0), 0.0)
    terms = np.where(counted, unit @ np.abs(case.weight).T + np.abs(case.bias), 0.0)
    norms = np.linalg.norm(heads, axis=-1)
    ratios = np.linalg.norm(terms, axis=-1) / np.where(norms > 0, norms, 1.0)
    return float(np.max(ratios, initial=1.0))
