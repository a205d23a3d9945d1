"""The undisturbed pipeline is the specification; disturbed ones compose."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amad_core import VARIANTS
from amad_core.conformance.diagnosis.pipeline import (
    ConflictError,
    Replace,
    after,
    observe,
    stages_with,
    value_of,
)
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.inputs.designed import discriminating_cases
from amad_core.conformance.judging.judgement import specified

EXACT = 1e-12  # relative; a few roundings of float64, and far below any mistake


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any small case: zeros, masks with empty samples, every variant, temperature, reduction."""
    batch, teacher_heads, student_heads, queries, keys = (draw(st.integers(1, 4)) for _ in range(5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    teacher = rng.random((batch, teacher_heads, queries, keys)) ** 3
    student = rng.random((batch, student_heads, queries, keys)) ** 3 + 1e-3
    if draw(st.booleans()):
        teacher *= rng.random(teacher.shape) < 0.7
    variant = draw(st.sampled_from(sorted(VARIANTS)))
    cells = queries * keys
    weighted = variant == "projected"
    return Case(
        "any",
        teacher,
        student,
        variant=variant,
        temperature=draw(st.sampled_from([0.1, 0.7, 1.0, 5.0])),
        reduction=draw(st.sampled_from(["none", "sum", "mean"])),
        eps=draw(st.sampled_from([1e-6, 1e-2])) if weighted or draw(st.booleans()) else 0.0,
        mask=rng.random((batch, queries, keys)) < 0.7 if draw(st.booleans()) else None,
        weight=rng.normal(size=(cells, cells)) if weighted else None,
        bias=rng.normal(size=cells) if weighted else None,
    )


@settings(max_examples=150, deadline=None)
@given(cases())
def test_the_undisturbed_pipeline_is_the_specification(case: Case) -> None:
    right = specified(case)
    value, gradient = right.value, right.grad_student
    observed = observe(case)
    assert observed.grad_teacher is not None
    assert not observed.grad_teacher.any()
    assert _close(observed.value, value), (observed.value, value)
    assert _close(value_of(case), value)
    if np.isfinite(value).all():
        # What cancels in a gradient is of the order of 1 / (norm of a head * temperature).
        smallest = float(np.min(np.max(case.student, axis=(2, 3))))
        # A projected cell is a difference of larger numbers, and may be as small as eps.
        cancelling = 1e3 if case.weight is not None else 1.0
        magnitude = cancelling / (smallest * case.temperature)
        assert _close(observed.grad_student, gradient, magnitude)


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_it_is_the_specification_on_the_designed_inputs(variant: str) -> None:
    for case in discriminating_cases(variant, temperature=0.7, seed=3):
        right = specified(case)
        value, gradient = right.value, right.grad_student
        observed = observe(case)
        assert np.isfinite(value).all()
        assert np.isfinite(gradient).all()
        assert _close(observed.value, value), case.name
        assert _close(observed.grad_student, gradient), case.name


def test_detached_numbers_carry_no_gradient() -> None:
    case = discriminating_cases("kl")[0]
    stopped = {"weights": after(lambda problem, weights: problem.arrays.stop_gradient(weights))}
    observed, right = observe(case, stages_with(stopped)), observe(case)
    np.testing.assert_array_equal(observed.value, right.value)
    assert not np.allclose(observed.grad_student, right.grad_student)


def test_wrappings_go_around_replacements_in_any_order() -> None:
    case = replace(discriminating_cases("kl")[0], reduction="mean")
    one = {"per_sample": Replace(lambda problem, per_head: per_head[:, 0])}
    halved = {"per_sample": after(lambda problem, losses: losses / 2)}
    first, second = stages_with(one, halved), stages_with(halved, one)
    assert value_of(case, first) == value_of(case, second) == value_of(case, stages_with(one)) / 2


def test_two_replacements_of_one_stage_are_refused() -> None:
    one = {"terms": Replace(lambda problem, target, mixture: target)}
    other = {"terms": Replace(lambda problem, target, mixture: mixture)}
    with pytest.raises(ConflictError, match="'terms' is replaced 2 times"):
        stages_with(one, other)


def _close(found: object, expected: object, magnitude: float = 1.0) -> bool:
    found, expected = np.asarray(found), np.asarray(expected)
    finite = np.isfinite(expected)
    if found.shape != expected.shape or not np.array_equal(found[~finite], expected[~finite]):
        return False
    scale = max(float(np.max(np.abs(expected[finite]), initial=0.0)), magnitude)
    return float(np.max(np.abs(found[finite] - expected[finite]), initial=0.0)) <= EXACT * scale
