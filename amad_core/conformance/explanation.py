"""From what failed to what is wrong: the diagnosis, and what it cannot see by itself."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from amad_core.conformance.case import Case, Observation
from amad_core.conformance.diagnosis import Diagnosis, diagnose
from amad_core.conformance.judgement import Judgement
from amad_core.conformance.mistakes import mistake
from amad_core.conformance.other_claims import other_claims
from amad_core.conformance.report import Explanation, Report
from amad_core.conformance.subject import Subject
from amad_core.inputs import BoolArray, FloatArray


def explained(subject: Subject, report: Report) -> Report:
    """The report with known mistakes that give what the port gives, and with plain facts."""
    by_checks = [_from_catalogue(result.mistake) for result in report.failed if result.mistake]
    judged = [one for one in subject.judged.values() if _tells(subject, one)]
    if all(one.answer.observation.value is None for one in judged):
        return replace(report, explanations=tuple(by_checks))
    diagnosis = _diagnosis(judged)
    whole = bool(diagnosis.explanations) and not diagnosis.explanations[0].except_for
    found = ([] if whole else _apart_from_nan(judged)) or _from_diagnosis(diagnosis)
    return replace(
        report,
        explanations=(*by_checks, *found),
        hints=tuple(
            f"The port is right with {typed}: is that what it is meant to compute?"
            for typed in other_claims(judged)
        ),
        facts=diagnosis.findings,
    )


def _tells(subject: Subject, judgement: Judgement) -> bool:
    """Whether a judgement says something about mistakes: in full precision, with a finite loss."""
    wanted = judgement.expected.value
    return (
        judgement.asked_in == subject.dtype
        and wanted is not None
        and bool(np.isfinite(wanted).all())
    )


def _diagnosis(judged: Sequence[Judgement]) -> Diagnosis:
    """The diagnosis; where it fails itself, the verdict stands and the failure is reported."""
    try:
        return diagnose(
            [judgement.case for judgement in judged],
            [_observation(judgement.case, judgement.answer.observation) for judgement in judged],
        )
    except Exception as error:
        said = f"The diagnosis itself failed, please report it: {type(error).__name__}: {error}"
        return Diagnosis(False, (), None, (said,))


def _observation(case: Case, observation: Observation) -> Observation:
    """What to diagnose: without finite gradients where cells of 0 let ports rightly differ."""
    gradient = observation.grad_student
    if gradient is None or not np.isfinite(gradient).all() or not _zeros(case, case.student).any():
        return observation
    return replace(observation, grad_student=None, grad_teacher=None)


def _from_diagnosis(diagnosis: Diagnosis) -> list[Explanation]:
    if diagnosis.explanations:
        likeliest = diagnosis.explanations[0]
        return [Explanation(likeliest.name, likeliest.sentence, likeliest.symptom, likeliest.mend)]
    if diagnosis.ratio is not None:
        return [Explanation("plain ratio", diagnosis.ratio.sentence)]
    return []


def _apart_from_nan(judged: Sequence[Judgement]) -> list[Explanation]:
    """NaN on a few inputs hides every other mistake: explain it and the rest separately."""
    broken = [one for one in judged if not _is_finite(one)]
    finite = [one for one in judged if _is_finite(one)]
    if not broken or not finite:
        return []
    explanations = [_from_catalogue(name) for name in _reason_for_nan(broken)]
    rest = _diagnosis(finite)
    return explanations + ([] if rest.agrees else _from_diagnosis(rest))


def _reason_for_nan(broken: Sequence[Judgement]) -> list[str]:
    """The catalogue's name of a NaN that comes with exact zeros, or with empty samples."""
    if all(_has_empty_sample(one.case) for one in broken):
        return ["empty-sample-nan"]
    if broken[0].case.variant != "mse" and all(_shared_zeros(one.case) for one in broken):
        values = [one.answer.observation.value for one in broken]
        of_value = any(value is not None and not np.isfinite(value).all() for value in values)
        return ["zero-times-log-of-zero" if of_value else "nan-gradient-behind-where"]
    return []


def _is_finite(judgement: Judgement) -> bool:
    found = judgement.answer.observation
    arrays = (found.value, found.grad_student, found.grad_teacher)
    return all(array is None or bool(np.isfinite(array).all()) for array in arrays)


def _zeros(case: Case, maps: FloatArray) -> BoolArray:
    """Cells that count and are exactly 0, ``[B, H, Q, K]``."""
    zeros = maps == 0
    return np.asarray(zeros if case.mask is None else zeros & case.mask[:, np.newaxis])


def _shared_zeros(case: Case) -> bool:
    """Whether some cell is 0 in a teacher head, and masked or 0 in every student head."""
    teacher, student = (
        maps == 0 if case.mask is None else (maps == 0) | ~case.mask[:, np.newaxis]
        for maps in (case.teacher, case.student)
    )
    return bool((teacher.any(axis=1) & student.all(axis=1)).any())


def _has_empty_sample(case: Case) -> bool:
    return case.mask is not None and not case.mask.any(axis=(1, 2)).all()


def _from_catalogue(name: str) -> Explanation:
    entry = mistake(name)
    return Explanation(entry.name, entry.sentence, entry.symptom, entry.mend)
