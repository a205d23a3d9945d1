"""Facts about a port that hold whether or not a known mistake explains it."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from amad_core.conformance.diagnosis.evidence import Evidence
from amad_core.conformance.diagnosis.exhibit import Exhibit
from amad_core.conformance.diagnosis.mistakes import Mistake, mistake
from amad_core.conformance.diagnosis.relative_tolerance import relative_distance
from amad_core.conformance.inputs.borders import rounded_array
from amad_core.conformance.inputs.designed import ALONE, TWINS
from amad_core.conformance.judging.tolerance import UNIT_ROUNDOFF, exceeds, tolerance

_ROUNDING_OF_VALUES = 0.05
"""Half precision moves a loss by 0.1 to 2 %; bounds that hold for every input are far wider."""

_NEARLY = 1e-3
"""What is nearer to 1 is told by its difference from 1."""

_EQUAL_SIZES: Mapping[str, tuple[str, str]] = {
    "teacher and student have equally many heads": ("teacher_heads", "student_heads"),
    "there are as many queries as keys": ("queries", "keys"),
}


def known_facts(evidence: Evidence) -> tuple[str, ...]:
    """One sentence a fact: what agrees, scale, direction of gradients, invariances, NaN."""
    facts: list[str] = []
    for find in _FACTS:
        facts += find(evidence)
    return tuple(facts)


def precision_mistake(evidence: Evidence) -> Mistake | None:
    """The mistake of rounding too much, if rounding in some dtype explains every difference."""
    names = {
        "float32": "single-precision-for-double",
        "float16": "low-precision-arithmetic",
        "bfloat16": "low-precision-arithmetic",
    }
    for dtype, name in names.items():
        if all(_rounds_like(one, dtype) for one in evidence.answered) and (
            _is_rounded(evidence, dtype)
        ):
            return mistake(name)
    return None


def _is_rounded(evidence: Evidence, dtype: str) -> bool:
    """Whether there is a sign of rounding, as any small deviation is within its bounds.

    Losses are numbers of that dtype; or twins, inputs that have the same loss in exact arithmetic
    whatever is computed symmetrically, give losses that differ in the last digits of that dtype.
    """
    values = [np.asarray(one.answer.value) for one in evidence.answered]
    if all(np.array_equal(value, rounded_array(value, dtype)) for value in values):
        return True
    twins = [
        float(np.sum(value))
        for one, value in zip(evidence.answered, values, strict=True)
        # Other deviations, too, tell doubled heads from single ones.
        if one.case.name.startswith("twin/") and "doubled" not in one.case.name
    ]
    return len(twins) > 1 and np.ptp(twins) > UNIT_ROUNDOFF[dtype] / 64 * np.max(np.abs(twins))


def _rounds_like(exhibit: Exhibit, dtype: str) -> bool:
    allowed = tolerance(exhibit.case, dtype)
    found = exhibit.answer
    value, gradient = exhibit.right_value, exhibit.right_gradient
    if found.value is None or np.shape(found.value) != value.shape:
        return False
    if found.grad_teacher is not None and np.any(found.grad_teacher):
        return False  # no rounding makes a gradient where there is none
    matches = np.all(exceeds(np.asarray(found.value), value, allowed.value) <= 1)
    matches &= np.all(np.abs(found.value - value) <= _ROUNDING_OF_VALUES * (1 + np.abs(value)))
    if found.grad_student is not None:
        matches &= np.all(exceeds(found.grad_student, gradient, allowed.gradient) <= 1)
    return bool(matches)


def _unanswered(evidence: Evidence) -> Iterator[str]:
    missing = [one for one in evidence.exhibits if one.answer.value is None]
    if missing:
        yield f"No value came for {_names(missing)}."
    for what, (size, other) in _EQUAL_SIZES.items():
        kinds = [
            {getattr(one.problem, size) == getattr(one.problem, other) for one in some}
            for some in (evidence.answered, missing)
        ]
        if kinds == [{True}, {False}]:
            yield f"It answers only where {what}."


def _not_finite(evidence: Evidence) -> Iterator[str]:
    values = [one for one in evidence.answered if not one.is_finite]
    if values:
        yield f"The value is NaN or infinite for {_names(values)}."
    gradients = [
        one
        for one in evidence.answered
        if one not in values and not _finite_gradient(one.answer.grad_student)
    ]
    if gradients:
        names = _names(gradients)
        yield f"The value is finite and the gradient NaN or infinite for {names}."


def _finite_gradient(gradient: object) -> bool:
    return gradient is None or bool(np.isfinite(np.asarray(gradient)).all())


def _agreement(evidence: Evidence) -> Iterator[str]:
    right = [one for one in evidence.answered if one not in evidence.wrong_values]
    if right and not evidence.wrong_values:
        yield (
            f"The values of all {len(right)} inputs kept by name are the specification's, in "
            f"{evidence.answered[0].judgement.dtype}."
        )
        return
    if right:
        yield f"Values agree for {_names(right)}."
    if evidence.wrong_values:
        yield f"Values differ for {_names(evidence.wrong_values)}."


def _scale(evidence: Evidence) -> Iterator[str]:
    ratios = []
    for exhibit in evidence.wrong_values:
        found, expected = np.asarray(exhibit.answer.value), exhibit.right_value
        if found.shape == expected.shape:
            with np.errstate(all="ignore"):
                each = found / expected
            ratios += [float(ratio) for ratio in np.ravel(each) if np.isfinite(ratio)]
    if not ratios:
        return
    low, high = min(ratios), max(ratios)
    if "1" in (f"{low:.4g}", f"{high:.4g}"):
        errors = sorted(abs(ratio - 1) for ratio in ratios)
        off = f"off by {errors[0]:.1g} to {errors[-1]:.1g}, relatively"
    else:
        off = f"{low:.4g} to {high:.4g} times the specification's"
    yield f"Where values differ they are {off}."


def _gradients(evidence: Evidence) -> Iterator[str]:
    wrong = evidence.wrong_gradients
    if not wrong:
        if any(not np.isnan(one.gradient_error) for one in evidence.answered):
            dtype = evidence.answered[0].judgement.dtype
            yield f"All gradients that came for them are the specification's, in {dtype}."
        return
    cosines, norms = [], []
    for exhibit in wrong:
        gradient, expected = exhibit.answer.grad_student, exhibit.right_gradient
        if gradient is None or gradient.shape != expected.shape:
            continue
        length, right = float(np.linalg.norm(gradient)), float(np.linalg.norm(expected))
        if not np.isfinite(length) or right == 0:
            continue
        norms.append(length / right)
        if length > 0:
            cosines.append(float(np.sum(gradient * expected)) / (length * right))
    said = f"Gradients differ in {len(wrong)} case{'' if len(wrong) == 1 else 's'}"
    if not norms:
        yield f"{said}."
    elif max(abs(norm - 1) for norm in norms) < _NEARLY and min(cosines) > 1 - _NEARLY:
        largest = max(one.gradient_error for one in wrong if np.isfinite(one.gradient_error))
        yield f"{said}, by {largest:.1g} of the largest cell at most."
    else:
        direction = f", cosine {min(cosines):.3f} to {max(cosines):.3f}" if cosines else ""
        yield f"{said}: norm {min(norms):.3g} to {max(norms):.3g} of the right one{direction}."


def _teacher(evidence: Evidence) -> Iterator[str]:
    if evidence.teacher_gradient:
        yield "The teacher gets a gradient; it must not."


def _invariances(evidence: Evidence) -> Iterator[str]:
    by_name = {one.case.name: one for one in evidence.exhibits}
    base = by_name.get("twin/base")
    if base is None or not base.is_finite or not evidence.wrong_values:
        return
    kept: list[str] = []
    changed: list[str] = []
    for name, what in TWINS.items():
        exhibit = by_name.get(name)
        if exhibit is None:
            continue
        first, second = base.answer.value, exhibit.answer.value
        if first is None or second is None:
            continue
        if name == "twin/samples-reversed" and np.ndim(second):
            second = second[::-1]
        same = relative_distance(second, first) <= 2 * exhibit.tolerance.value
        (kept if same else changed).append(what)
    if kept:
        yield f"As it must be, the value does not change by {', '.join(kept)}."
    if changed:
        yield f"The value changes by {', '.join(changed)}; it must not."


def _independence(evidence: Evidence) -> Iterator[str]:
    """Whether a batch gives the mean of what its samples give that fill a batch alone."""
    by_name = {one.case.name: one for one in evidence.exhibits if one.is_finite}
    mixed = [
        whole
        for whole, alone in ALONE.items()
        if {whole, *alone} <= by_name.keys()
        and not _is_mean(by_name[whole], [by_name[name] for name in alone])
    ]
    if mixed:
        yield (
            "The loss of a sample changes when the others do: a batch does not give what its "
            f"samples give that fill a batch alone ({', '.join(mixed)}); it must."
        )


def _is_mean(whole: Exhibit, alone: Sequence[Exhibit]) -> bool:
    values = np.array([np.asarray(one.answer.value) for one in alone])
    unreduced = whole.case.reduction == "none" and values.ndim > 1
    expected = np.diagonal(values) if unreduced else values.mean(axis=0)
    found = np.asarray(whole.answer.value)
    return relative_distance(found, expected) <= 2 * whole.tolerance.value


def _infinite(evidence: Evidence) -> Iterator[str]:
    if evidence.never_finite and len(evidence.answered) > 1:
        yield "No input gives a finite value, which tells too little to name a mistake."


def _names(exhibits: Sequence[Exhibit]) -> str:
    names = [one.case.name for one in exhibits]
    shown = ", ".join(names[:6])
    return shown if len(names) <= 6 else f"{shown} and {len(names) - 6} more"


_FACTS = (
    _unanswered,
    _infinite,
    _not_finite,
    _independence,
    _agreement,
    _scale,
    _gradients,
    _teacher,
    _invariances,
)
