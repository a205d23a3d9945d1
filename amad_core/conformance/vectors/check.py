"""The verdict on results that were computed elsewhere, one report for each variant."""

import time
from collections.abc import Iterable, Sequence
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
from amad_core.conformance.vectors.file_error import FileError
from amad_core.conformance.vectors.outcomes import Judged, check_all, kind_of
from amad_core.conformance.vectors.reading import Golden, generated_vectors, read_vectors
from amad_core.conformance.vectors.results import RawResults, Results, read_raw, results_of


def check_results(
    results: Path, *, vectors: Path | None = None, variants: Sequence[str] = ()
) -> list[Report]:
    """Judge and diagnose what a port computed from golden vectors.

    Args:
        results: a results file, or a directory of them.
        vectors: the directory that the vectors were exported to; ``None``: as exported by default.
        variants: what must be there; empty: the variants that the results answer.

    Returns:
        One report for each variant.

    Raises:
        FileError: files that cannot be used, with the place of the first problem.
    """
    raw = read_raw(results)
    wanted = list(variants) or _answered(raw)
    if vectors is None:
        golden = {variant: generated_vectors(variant) for variant in {*wanted, *_answered(raw)}}
    else:
        golden = read_vectors(vectors)
        for variant in wanted:
            if variant not in golden:
                raise FileError(vectors, f"there are no vectors of the variant {variant!r} here")
    given = results_of(raw, golden)
    return [_report(golden[variant], given, results) for variant in VARIANTS if variant in wanted]


def _answered(raw: Iterable[RawResults]) -> list[str]:
    """Variants that ids begin with; all where none does, so that every id is unknown."""
    prefixes = {case_id.partition("-")[0] for file in raw for case_id in file.document["results"]}
    return [variant for variant in VARIANTS if variant in prefixes] or list(VARIANTS)


def _report(golden: Golden, results: Results, path: Path) -> Report:
    start = time.perf_counter()
    judgements = {
        vector.id: judge(vector.case, results.answers[vector.id].answer, results.dtype)
        for vector in golden.cases
        if vector.id in results.answers
    }
    judged = Judged(golden, results, judgements)
    report = Report(
        target=results.port,
        terms=Terms(golden.variant),
        description=_description(golden, results, path),
        checks=check_all(judged),
        seed=golden.seed,
        version=__version__,
    )
    if any(check.name != "complete" for check in report.failed):
        report = replace(report, findings=_explained(report, judged))
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


def _explained(report: Report, judged: Judged) -> Findings:
    """What the kit says of a port that answers like this, and where the weights point."""
    telling = _telling(judged)
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


def _telling(judged: Judged) -> list[Judgement]:
    """Designed cases with one finite loss; borders too where only they are wrong."""
    finite = [
        (kind_of(vector), judged.judgements[vector.id])
        for vector in judged.golden.cases
        if vector.id in judged.judgements
        and kind_of(vector) != "infinite"
        and vector.case.reduction != "none"
    ]
    designed = [one for kind, one in finite if kind != "edges"]
    if any(one.value_problem or _gradient_is_wrong(one) or one.leak for one in designed):
        return designed
    return [one for _, one in finite]


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
