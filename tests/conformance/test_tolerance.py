"""The tolerance is small enough to see mistakes and large enough for rounding."""

import numpy as np
import pytest

from amad_core import amad_loss_and_grad
from amad_core.conformance.inputs.borders import long_maps, maps_with_zeros, rounded
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.inputs.terms import Terms
from amad_core.conformance.judging.judgement import specified
from amad_core.conformance.judging.tolerance import UNIT_ROUNDOFF, exceeds, tolerance, within


def maps(rng, *shape):
    powers = np.exp(1.5 * rng.normal(size=shape))
    return powers / powers.sum(axis=-1, keepdims=True)


@pytest.fixture
def cases():
    rng = np.random.default_rng(1)
    return [
        Case(variant, maps(rng, 3, 4, 3, 5), maps(rng, 3, 2, 3, 5), variant)
        for variant in ("mse", "kl", "js", "token")
    ]


def test_tolerance_is_far_below_the_smallest_mistake(cases):
    """Mistakes change designed inputs by a percent or more; double precision allows a millionth."""
    for case in cases:
        value, gradient = amad_loss_and_grad(
            teacher=case.teacher, student=case.student, variant=case.variant
        )
        allowed = tolerance(case)
        assert allowed.value < 3e-6 * max(value, 1)
        assert np.max(allowed.gradient) < 3e-6 * max(np.max(np.abs(gradient)), 1)


def test_tolerance_grows_with_the_roundoff(cases):
    for case in cases:
        allowed = [float(tolerance(case, dtype).value) for dtype in UNIT_ROUNDOFF]
        assert allowed == sorted(allowed)
        assert allowed[-1] > 100 * allowed[0]


def test_rounded_inputs_stay_within_the_tolerance(cases):
    """A port that only rounds its inputs makes the smallest error of all that round anything."""
    for case in cases:
        right = amad_loss_and_grad(teacher=case.teacher, student=case.student, variant=case.variant)
        for dtype in ("float32", "float16", "bfloat16"):
            less = rounded(case, dtype)
            found = amad_loss_and_grad(
                teacher=less.teacher, student=less.student, variant=case.variant
            )
            allowed = tolerance(case, dtype)
            assert within(found[0], right[0], allowed.value)
            assert within(found[1], right[1], allowed.gradient)
            assert dtype == "float32" or not within(found[1], right[1], tolerance(case).gradient)


def test_cells_of_zero_may_have_any_finite_gradient():
    teacher = np.array([[[[0.5, 0.5]]]])
    student = np.array([[[[1.0, 0.0]], [[0.5, 0.5]]]])
    allowed = tolerance(Case("zero", teacher, student, "kl")).gradient
    assert np.isinf(allowed[0, 0, 0, 1])
    assert np.isfinite(allowed).sum() == 3
    gradient = np.zeros_like(student)
    assert exceeds(gradient, gradient + 7, np.full_like(student, np.inf)).max() == 0
    assert exceeds(gradient * np.nan, gradient, np.full_like(student, np.inf)).max() == np.inf


def test_infinities_must_be_the_same():
    inf = np.array(np.inf)
    assert within(inf, inf, np.array(1.0))
    assert not within(np.array(5.0), inf, np.array(1.0))
    assert not within(np.array(np.nan), np.array(np.nan), np.array(1.0))


def test_rounding_to_bfloat16_is_to_nearest_even():
    array = np.array([1.0, 1 + 2**-8, 1 + 3 * 2**-8, 1.00001, np.nan, -np.inf])
    found = rounded(Case("x", array, array), "bfloat16").teacher
    np.testing.assert_array_equal(found, [1.0, 1.0, 1 + 2**-6, 1.0, np.nan, -np.inf])


def test_unknown_dtype_is_refused(cases):
    with pytest.raises(ValueError, match="dtype must be one of"):
        tolerance(cases[0], "float8")


HALF = ("bfloat16", "float16")


def losses_in_half_precision():
    """Ways to write kl that round after every operation."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional

    def of_logarithms(target, mixture, tiny):
        ratio = target.clamp_min(tiny).log() - mixture.clamp_min(tiny).log()
        return (target * ratio).sum((1, 2)).mean()

    def entropies_apart(target, mixture, tiny):
        entropy = torch.special.xlogy(target, target).sum((1, 2))
        return (entropy - (target * mixture.clamp_min(tiny).log()).sum((1, 2))).mean()

    def of_log_targets(target, mixture, tiny):
        logs = mixture.clamp_min(tiny).log(), target.clamp_min(tiny).log()
        divergence = functional.kl_div(*logs, reduction="none", log_target=True)
        return divergence.sum((1, 2)).mean()

    return of_logarithms, entropies_apart, of_log_targets


def answered(loss, case, dtype, spoil=lambda values: values):
    """Value and gradient of a kl loss in PyTorch, whose sums over a head are ``spoil``ed."""
    torch = pytest.importorskip("torch")
    wide = [torch.tensor(maps) for maps in (case.teacher, case.student)]
    teacher, student = (maps.to(getattr(torch, dtype)) for maps in wide)
    student.requires_grad_()
    t, s = teacher.flatten(2), student.flatten(2)
    weights = ((t @ s.mT) / (t.norm(dim=2)[:, :, None] * s.norm(dim=2)[:, None])).softmax(2)
    t, s = (heads / spoil(heads.sum(2, keepdim=True)) for heads in (t, s))
    value = loss(t, weights @ s, torch.finfo(t.dtype).tiny)
    (gradient,) = torch.autograd.grad(value, student)
    return np.asarray(value.item()), gradient.double().numpy()


def half_precision_cases(dtype, seeds=range(3)):
    for seed in seeds:
        for case in (*maps_with_zeros(Terms("kl"), seed), *long_maps(Terms("kl"), seed)):
            yield rounded(case, dtype)


@pytest.mark.parametrize("dtype", HALF)
def test_rounding_after_every_operation_is_within_the_tolerance(dtype):
    for loss in losses_in_half_precision():
        for case in half_precision_cases(dtype):
            right, allowed = specified(case), tolerance(case, dtype)
            value, gradient = answered(loss, case, dtype)
            assert within(value, right.value, allowed.value), (loss.__name__, case.name)
            assert within(gradient, right.grad_student, allowed.gradient), loss.__name__


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("variant", ["mse", "kl", "js", "token"])
def test_a_twentieth_is_beyond_the_tolerance_of_half_precision(variant, dtype):
    """In the loss and in the gradient, on one of the inputs at least."""
    found = []
    for case in maps_with_zeros(Terms(variant), 0):
        case = rounded(case, dtype)
        right, allowed = specified(case), tolerance(case, dtype)
        found += [
            (
                within(1.05 * right.value, right.value, allowed.value),
                within(1.05 * right.grad_student, right.grad_student, allowed.gradient),
            )
        ]
    assert not np.all(found, axis=0).any()


@pytest.mark.parametrize("dtype", HALF)
def test_sums_that_half_precision_takes_too_coarsely_are_seen(dtype):
    """The sum by which cells are divided 6 % too small, as where it stops growing."""
    loss, found = losses_in_half_precision()[0], []
    for case in half_precision_cases(dtype, range(1)):
        right, allowed = specified(case), tolerance(case, dtype)
        value, _ = answered(loss, case, dtype, lambda sums: 0.94 * sums)
        found.append(within(value, right.value, allowed.value))
    assert not all(found)
