"""The verdict on results that were computed elsewhere, one report for each variant."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from amad_core import __version__
from amad_core.attention.variants import VARIANTS
from amad_core.conformance.diagnosis.explanation import explained
from amad_core.conformance.diagnosis.mistakes import MISTAKES
from amad_core.conformance.diagnosis.mistakes.mistake import PRECISION
from amad_core.conformance.inputs.terms import Terms
from amad_core.conformance.judging.checks.result import FAILED, PASSED
from amad_core.conformance.judging.judgement import Judgement, judge
from amad_core.conformance.ports.port import Description
from amad_core.conformance.reports.explanation import NOTHING_FOUND, Findings
from amad_core.conformance.reports.report import Report
from amad_core.conformance.vectors.documents import FileError
from amad_core.conformance.vectors.files import Golden, read_vectors, shipped_vectors
from amad_core.conformance.vectors.outcomes import (
    EDGES,
    INFINITE,
    Judgements,
    check_all,
    kind_of,
)
from amad_core.conformance.vectors.results import (
    Results,
    answered_variants,
    read_documents,
    results_of,
)


def check_results(
    results: Path, *, vectors: Path | None = None, variants: Sequence[str] = ()
) -> list[Report]:
    """Judge and diagnose what a port computed from golden vectors.

    Args:
        results: a results file, or a directory of them.
        vectors: the directory that the vectors were exported to; ``None``: those that ship.
        variants: what must be there; empty: the variants that the results answer.

    Returns:
        One report for each variant.

    Raises:
        FileError: files that cannot be used, with the place of the first problem.
    """
    documents = read_documents(results)
    answered = answered_variants(documents)
    wanted = list(variants) or answered
    if vectors is None:
        golden = {variant: shipped_vectors(variant) for variant in {*wanted, *answered}}
    else:
        golden = read_vectors(vectors)
        for variant in wanted:
            if variant not in golden:
                raise FileError(vectors, f"there are no vectors of the variant {variant!r} here")
    given = results_of(documents, golden)
    return [_report(golden[variant], given, results) for variant in VARIANTS if variant in wanted]


def _report(golden: Golden, results: Results, path: Path) -> Report:
    start = time.perf_counter()
    judged = {
        case_id: judge(case, results.answers[case_id], results.dtype)
        for case_id, case in golden.cases.items()
        if case_id in results.answers
    }
    report = Report(
        target=results.port,
        terms=Terms(golden.variant),
        description=_description(golden, results, path),
        checks=check_all(golden, results, judged),
        seed=golden.seed,
        version=__version__,
    )
    if any(check.name != "complete" for check in report.failed):
        report = replace(report, findings=_explained(report, _telling(golden, judged)))
    return replace(report, seconds=time.perf_counter() - start)


def _description(golden: Golden, results: Results, path: Path) -> Description:
    return Description(
        name=results.port,
        framework="results",
        reason=f"results in {path}",
        versions=f"golden vectors {golden.version}",
        accepts=("eps", "mask", "reduction", "temperature"),
        dtypes=(results.dtype,),
    )


def _explained(report: Report, telling: Sequence[Judgement]) -> Findings:
    """What the kit says of a port that answers like this, and where the weights point."""
    if not telling:
        return NOTHING_FOUND
    found, remark = explained(telling, report.failed), ""
    if not found.explanations or _is_rounding(found):
        # A gradient written by hand may be wrong in ways of its own.
        by_values = explained([_without_gradients(one) for one in telling], report.failed)
        if by_values.explanations and not _is_rounding(by_values):
            found, remark = by_values, _VALUES_ONLY
    hints = (remark, *_where(report), *found.hints)
    return replace(found, hints=tuple(hint for hint in hints if hint))


_VALUES_ONLY = (
    "The values are those of this mistake; the gradients are not its derivative, so they have a "
    "mistake of their own, or were left as they were."
)


def _without_gradients(judgement: Judgement) -> Judgement:
    bare = replace(judgement.answer, grad_student=None, grad_teacher=None)
    return replace(judgement, answer=bare)


def _is_rounding(findings: Findings) -> bool:
    precision = {mistake.name for mistake in MISTAKES if mistake.found_by == PRECISION}
    return all(explanation.name in precision for explanation in findings.explanations)


def _telling(golden: Golden, judged: Judgements) -> list[Judgement]:
    """Designed cases with one finite loss; borders too where only they are wrong."""
    finite = {
        case_id: judgement
        for case_id, judgement in judged.items()
        if kind_of(golden, case_id) != INFINITE and judgement.case.reduction != "none"
    }
    designed = [one for case_id, one in finite.items() if kind_of(golden, case_id) != EDGES]
    if any(one.value_problem or _gradient_is_wrong(one) or one.leak for one in designed):
        return designed
    return list(finite.values())


def _gradient_is_wrong(judgement: Judgement) -> bool:
    given = judgement.answer.grad_student is not None
    return given and bool(judgement.gradient_problem)


def _where(report: Report) -> tuple[str, ...]:
    """What right or wrong alignment weights say about the place of the mistake."""
    statuses = {check.name: check.status for check in report.checks}
    if statuses["weights"] == FAILED:
        return ("The alignment weights are wrong already: look at masks, cosines and softmax.",)
    if statuses["weights"] == PASSED and statuses["value"] == FAILED:
        return ("The alignment weights are right: the mistake comes after them.",)
    return ()
