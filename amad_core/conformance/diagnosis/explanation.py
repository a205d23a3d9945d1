"""From what failed to what is wrong: the diagnosis, and what it cannot see by itself."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from amad_core.conformance.diagnosis.diagnosis import Diagnosis, diagnose, from_catalogue
from amad_core.conformance.diagnosis.other_terms import other_terms
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.judging.checks.result import CheckResult
from amad_core.conformance.judging.judgement import Judgement
from amad_core.conformance.reports.explanation import Explanation, Findings

_NAMED = 6
"""So many inputs are named in a sentence."""


def explained(judgements: Sequence[Judgement], failed: Sequence[CheckResult]) -> Findings:
    """Known mistakes that give what the port gives, and plain facts.

    Args:
        judgements: what the port answered in the dtype that correctness is judged in.
        failed: the checks that failed; some name a mistake by themselves.
    """
    if not any(result.name == "teacher" for result in failed):
        judgements = [_without_leak(one) for one in judgements]
    by_checks = [from_catalogue(result.mistake) for result in failed if result.mistake]
    told = {explanation.name for explanation in by_checks}
    judged = _not_explained([one for one in judgements if _tells(one)], told)
    if any(result.name == "mask" for result in failed):
        # What counts though it is masked out shows on finite maps; NaN would say nothing more.
        judged = [one for one in judged if np.isfinite(one.case.student).all()]
    # Of a port that chooses among layers, what a single layer gives says nothing.
    if "layers-chosen-inside" in told or all(one.answer.value is None for one in judged):
        return Findings(tuple(by_checks))
    found = _looked_into(judged)
    if not found.explanations and any(one.leak for one in judged):
        # The leak is plain to see; without it, what else is wrong may be, too.
        leak = from_catalogue("gradient-into-the-teacher")
        by_checks += [] if leak.name in told else [leak]
        found = _looked_into([_without_leak(one) for one in judged])
    known = [one for one in found.explanations if one.name not in told]
    finite = [one for one in judged if _should_be_finite(one)]
    return replace(
        found,
        explanations=(*by_checks, *known),
        hints=tuple(
            f"The port is right with {typed}: is that what it is meant to compute?"
            for typed in other_terms(finite)
        ),
    )


def _looked_into(judged: Sequence[Judgement]) -> Findings:
    """Explanations and facts; where not everything is explained, the first fact says what is not.

    A plain factor or a mistake of ordinary cases explains in part, too: its own sentence says so.
    """
    diagnosis = _diagnosis_of_any(judged)
    whole = bool(diagnosis.explanations) and not diagnosis.explanations[0].except_for
    if whole or diagnosis.agrees:
        return Findings(tuple(diagnosis.explanations[:1]), (), diagnosis.facts)
    apart = _apart_from_nan(judged)
    if apart is not None:
        return replace(apart, facts=(*apart.facts, *diagnosis.facts))
    known = _from_diagnosis(diagnosis)
    left = () if known else _unexplained(judged)
    return Findings(tuple(known), (), (*left, *diagnosis.facts), bool(left))


def _unexplained(judged: Sequence[Judgement]) -> tuple[str, ...]:
    """That values, gradients or both are wrong in a way that no known mistake has."""
    answered = [one for one in judged if one.answer.value is not None]
    values = any(one.value_problem for one in answered)
    gradients = any(one.gradient_problem for one in answered if one.answer.grad_student is not None)
    what = "Values" if values else "Gradients" if gradients else ""
    return (f"{what} remain unexplained: no known mistake, nor a pair, gives them.",) * bool(what)


def _not_explained(judged: Sequence[Judgement], told: Collection[str]) -> list[Judgement]:
    """Answers without what a check alone has explained, so that it is not explained again."""
    if "mask-by-product" in told:
        judged = [one for one in judged if not one.case.name.startswith("garbage/")]
    if "student-detached-for-teacher" in told:
        judged = [_without_leak(one) for one in judged]
    return list(judged)


def _without_leak(judgement: Judgement) -> Judgement:
    return replace(judgement, answer=replace(judgement.answer, grad_teacher=None))


def _tells(judgement: Judgement) -> bool:
    """Whether a judgement says something about mistakes: by a loss, or by a floor for none."""
    wanted = judgement.expected.value
    return wanted is not None and not np.isnan(wanted).any()


def _diagnosis_of_any(judged: Sequence[Judgement]) -> Diagnosis:
    """Of all answers; where that says nothing, of those that have the shape asked for."""
    diagnosis = _diagnosis(judged)
    shaped = [one for one in judged if _has_right_shape(one)]
    if diagnosis.explanations or diagnosis.ratio or not 0 < len(shaped) < len(judged):
        return diagnosis
    return _diagnosis(shaped)


def _has_right_shape(judgement: Judgement) -> bool:
    found, wanted = judgement.answer.value, judgement.expected.value
    return found is None or wanted is None or found.shape == wanted.shape


def _diagnosis(judged: Sequence[Judgement]) -> Diagnosis:
    """The diagnosis; where it fails itself, the verdict stands and the failure is reported."""
    try:
        return diagnose(judged)
    except Exception as error:
        said = f"The diagnosis itself failed, please report it: {type(error).__name__}: {error}"
        return Diagnosis(False, (), None, (said,))


def _from_diagnosis(diagnosis: Diagnosis) -> list[Explanation]:
    if diagnosis.explanations:
        return [diagnosis.explanations[0]]
    if diagnosis.ratio is not None:
        return [Explanation("plain ratio", diagnosis.ratio.sentence)]
    return []


def _apart_from_nan(judged: Sequence[Judgement]) -> Findings | None:
    """NaN on a few inputs hides every other mistake: explain it and the rest separately."""
    broken = [one for one in judged if not _is_finite(one) and _should_be_finite(one)]
    finite = [one for one in judged if _is_finite(one)]
    if not broken or not finite:
        return None
    reasons = [from_catalogue(name) for name in _reason_for_nan(broken)]
    rest = _diagnosis(finite)
    others = [] if rest.agrees else _from_diagnosis(rest)
    left: tuple[str, ...] = ()
    if not reasons:
        named = ", ".join(one.case.name for one in broken[:_NAMED])
        more = f" and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
        left = (f"What is NaN or infinite remains unexplained: {named}{more}.",)
    if not others and not rest.agrees:
        left = (*left, *_unexplained(finite))
    if not reasons and not others:
        return None
    return Findings((*reasons, *others), (), left, bool(left))


def _reason_for_nan(broken: Sequence[Judgement]) -> list[str]:
    """The catalogue's name of a NaN that comes with exact zeros, or with empty samples."""
    if all(_has_empty_sample(one.case) for one in broken):
        return ["empty-sample-nan"]
    if broken[0].case.variant != "mse" and all(_shared_zeros(one.case) for one in broken):
        values = [one.answer.value for one in broken]
        of_value = any(value is not None and not np.isfinite(value).all() for value in values)
        return ["zero-times-log-of-zero" if of_value else "nan-gradient-behind-where"]
    return []


def _is_finite(judgement: Judgement) -> bool:
    found = judgement.answer
    arrays = (found.value, found.grad_student, found.grad_teacher)
    return all(array is None or bool(np.isfinite(array).all()) for array in arrays)


def _should_be_finite(judgement: Judgement) -> bool:
    return bool(np.isfinite(np.asarray(judgement.expected.value)).all())


def _shared_zeros(case: Case) -> bool:
    """Whether some cell is 0 in a teacher head, and masked or 0 in every student head."""
    teacher, student = (
        maps == 0 if case.mask is None else (maps == 0) | ~case.mask[:, np.newaxis]
        for maps in (case.teacher, case.student)
    )
    return bool((teacher.any(axis=1) & student.all(axis=1)).any())


def _has_empty_sample(case: Case) -> bool:
    return case.mask is not None and not case.mask.any(axis=(1, 2)).all()
