"""How far a right port may be from the specification, derived from dtype and size.

A port rounds after every operation, each time by a factor ``1 + δ``, ``|δ| <= u``, with ``u`` the
unit roundoff of the dtype that it computes in (2⁻⁵³ float64, 2⁻²⁴ float32, 2⁻¹¹ float16, 2⁻⁸
bfloat16). To first order the result then moves by at most ``u`` times the number of roundings on
the way to it times its *magnitude*: the same formula with every term replaced by its absolute
value, so that nothing cancels.

- **Roundings.** Sums over ``n`` cells are taken pairwise or in blocks (each framework does), which
  makes ``log2 n`` roundings a term. The longest way through the loss has four such sums (norm,
  inner product, derivative of the weights, total), two sums over heads, and about sixteen further
  operations: ``k = 16 + 4 log2 n + 2 log2 (Ht Hs)``. Roundings are as often up as down; with
  probability ``1 - 2 exp(-λ²/2)`` they add up to ``λ sqrt(k) u`` at most, not ``k u`` (Higham and
  Mary, "A new approach to probabilistic rounding error analysis", SIAM J. Sci. Comput. 41, 2019);
  ``λ = 4`` here, 0.9993.
- **Magnitude of the value.** ``mse``: ``|t̂|² + 2<t̂, m> + |m|²``, also right for ports that expand
  the square. ``kl``: ``Σ p (1 + |log p| + |log m|)``, also right for cross-entropy minus entropy.
  The roundings of one head (and row) do not depend on those of another: over heads, magnitudes
  add up as the root of the sum of their squares.
- **Magnitude of the gradient**, cell by cell: the chain rule of
  :mod:`amad_core.attention.gradient` with absolute values.
- **Temperature.** An error of ``u`` in a cosine is one of ``u/τ`` in the logarithm of a weight:
  everything is multiplied by ``1 + 1/τ``.
- **Cells of exactly 0** in the student's map. A softmax passes on ``s (g - <s, g>)``: what the
  gradient ``g`` is where ``s = 0`` never reaches a parameter, if only it is finite. Ports rightly
  differ there: the derivative of ``|s|`` (``F.normalize(p=1)``) is taken as 0, that of a sum is 1.
- **Half precision.** In bfloat16 and float16 such bounds are larger than many a loss, and only
  gross errors fail. There the errors are tried (:mod:`amad_core.conformance.judging.rounding`);
  allowed are 8 times their root mean square for the loss, 10 times for a cell of the gradient. Of
  right ports that round after every operation, the furthest was off by 4.7 and 6.6 times
  (``docs/numerics.md``).
- **Floor.** No dtype is held to less than the unit roundoff of float32, 6e-8, of the magnitude:
  nobody who trains in float32 can tell such a difference from rounding. So a norm plus 1e-8, or a
  floor of 1e-12 inside the logarithm, is no mistake; 1e-8 inside the logarithm is one.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from amad_core.attention.alignment import aligned_maps, softmax_over_students
from amad_core.attention.inputs import BoolArray, FloatArray
from amad_core.attention.loss import Problem, checked_problem, compared_student, reduce_batch
from amad_core.attention.similarity import (
    cosine_similarity,
    l1_normalise,
    l2_normalise,
    scaled_to_peak,
)
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.judging.rounding import SMALLEST_NORMAL, expected_errors

UNIT_ROUNDOFF: Mapping[str, float] = MappingProxyType(
    {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
)
"""The relative error of one rounding."""

FLOOR = UNIT_ROUNDOFF["float32"]
"""No dtype is held to less."""

_STANDARD_DEVIATIONS = 4.0
_STANDARD_DEVIATIONS_IN_HALF = 8.0, 10.0
"""Of the loss, and of one of many cells of the gradient."""


@dataclass(frozen=True)
class Tolerance:
    """Allowed absolute differences from the specification.

    Attributes:
        value: of the shape of the loss.
        gradient: ``[B, Hs, Q, K]``, a cell on its own; ``inf``, any finite number, where the
            student's map is exactly 0 (see above) and where rounding decides on which side of a
            kink (ReLU) a cell lies.
    """

    value: FloatArray
    gradient: FloatArray


def tolerance(case: Case, dtype: str = "float64") -> Tolerance:
    """The tolerance of one case for a port that computes in ``dtype``.

    Raises:
        ValueError: a dtype that is not one of :data:`UNIT_ROUNDOFF`.
    """
    if dtype not in UNIT_ROUNDOFF:
        raise ValueError(f"dtype must be one of {', '.join(UNIT_ROUNDOFF)}; got {dtype!r}")
    problem = checked_problem(**{k: v for k, v in case.arguments().items() if k != "reduction"})
    with np.errstate(all="ignore"):
        half = dtype in SMALLEST_NORMAL
        value, gradient = (_tried if half else _derived)(case, problem, dtype)
    if case.reduction == "mean":
        gradient = gradient / case.teacher.shape[0]
    counts = problem.valid[:, np.newaxis] & (case.student == 0)
    return Tolerance(value, np.where(counts, np.inf, _as_maps(gradient, case)))


def _derived(case: Case, problem: Problem, dtype: str) -> tuple[FloatArray, FloatArray]:
    """Of the reduced loss, and of the gradient of every sample's own loss, as heads."""
    relative, stages = relative_error(case, dtype), _stages(problem)
    terms, slope = _MAGNITUDES[case.variant]
    value = relative * _value_magnitude(problem, stages, terms)
    upstream = _gradient_magnitude(problem, stages, slope)
    gradient = relative * _through_projection(problem, upstream, relative)
    return reduce_batch(value, case.reduction), gradient


def _tried(case: Case, problem: Problem, dtype: str) -> tuple[FloatArray, FloatArray]:
    """The same in half precision."""
    errors = expected_errors(case, problem, dtype)
    kinked = _kinked(problem, _STANDARD_DEVIATIONS * UNIT_ROUNDOFF[dtype])
    smallest = SMALLEST_NORMAL[dtype] * UNIT_ROUNDOFF[dtype]
    value, gradient = (
        times * error + smallest
        for times, error in zip(_STANDARD_DEVIATIONS_IN_HALF, errors, strict=True)
    )
    return value, np.where(kinked, np.inf, gradient)


def relative_error(case: Case, dtype: str) -> float:
    """``max(4 sqrt(k) u, floor) (1 + 1/τ)``: the error relative to the magnitude."""
    teacher_heads, student_heads = case.teacher.shape[1], case.student.shape[1]
    cells = case.teacher.shape[2] * case.teacher.shape[3]
    roundings = 16 + 4 * math.log2(cells) + 2 * math.log2(teacher_heads * student_heads)
    rounding = _STANDARD_DEVIATIONS * math.sqrt(roundings) * UNIT_ROUNDOFF[dtype]
    return max(rounding, FLOOR) * (1 + 1 / case.temperature)


def within(found: FloatArray, expected: FloatArray, allowed: FloatArray) -> bool:
    """Whether every number is within its tolerance; infinities and NaN must be the same."""
    return bool(np.all(exceeds(found, expected, allowed) <= 1))


def exceeds(found: FloatArray, expected: FloatArray, allowed: FloatArray) -> FloatArray:
    """``|found - expected| / allowed``, 0 where both are the same, ``inf`` where one is not finite.

    1 and less is agreement.
    """
    with np.errstate(all="ignore"):
        ratio = np.abs(found - expected) / allowed
    same = (found == expected) | (np.isinf(allowed) & np.isfinite(found))
    return np.where(same, 0.0, np.where(np.isnan(ratio), np.inf, ratio))


_Magnitude = Callable[[FloatArray, FloatArray], FloatArray]


@dataclass(frozen=True)
class _Stages:
    """The stages of the loss that magnitudes are made of, heads as vectors."""

    student: FloatArray
    weights: FloatArray
    target: FloatArray
    entering: FloatArray
    mixture: FloatArray


def _stages(problem: Problem) -> _Stages:
    student = compared_student(problem)
    scaled = scaled_to_peak(student)
    weights = softmax_over_students(cosine_similarity(problem.teacher, scaled), problem.temperature)
    normalise = problem.variant.normalisation.value
    entering = normalise(scaled)
    mixture = aligned_maps(weights, entering)
    return _Stages(student, weights, normalise(problem.teacher), entering, mixture)


def _value_magnitude(problem: Problem, stages: _Stages, terms: _Magnitude) -> FloatArray:
    """One number a sample: every term of the divergence as if nothing cancelled."""
    per_cell = terms(stages.target, np.maximum(stages.mixture, problem.eps))
    per_head = np.sum(per_cell, axis=-1)
    return np.asarray(np.sqrt(np.sum(per_head**2, axis=tuple(range(1, per_head.ndim)))))


def _gradient_magnitude(problem: Problem, stages: _Stages, slope: _Magnitude) -> FloatArray:
    """The chain rule of the gradient, every product and sum of absolute values."""
    through_mixture = slope(stages.target, stages.mixture)
    weights_gradient = through_mixture @ np.swapaxes(stages.entering, -1, -2)
    average = np.sum(stages.weights * weights_gradient, axis=-1, keepdims=True)
    similarity_gradient = stages.weights * (weights_gradient + average) / problem.temperature
    entering_gradient = np.swapaxes(stages.weights, -1, -2) @ through_mixture
    unit_gradient = np.swapaxes(similarity_gradient, -1, -2) @ l2_normalise(problem.teacher)

    unit, entering = l2_normalise(scaled_to_peak(stages.student)), stages.entering
    by_unit = _over_norm(unit_gradient, unit, unit, stages.student, 2)
    order = 2 if problem.variant.normalisation.value is l2_normalise else 1
    along = entering if order == 2 else np.ones_like(entering)
    return by_unit + _over_norm(entering_gradient, entering, along, stages.student, order)


def _over_norm(
    upstream: FloatArray, unit: FloatArray, along: FloatArray, heads: FloatArray, order: int
) -> FloatArray:
    """``(g + along <g, unit>) / |v|``: the derivative of a normalisation, nothing cancelling."""
    norm = np.linalg.norm(heads, ord=order, axis=-1, keepdims=True)
    inner = np.sum(upstream * unit, axis=-1, keepdims=True)
    return np.where(norm > 0, (upstream + along * inner) / np.where(norm > 0, norm, 1.0), 0.0)


def _through_projection(problem: Problem, upstream: FloatArray, relative: float) -> FloatArray:
    """The chain rule through eq. 10; unbounded where rounding decides whether ReLU is active."""
    if problem.weight is None or problem.bias is None:
        return upstream
    unit = l1_normalise(scaled_to_peak(problem.student))
    active = _cells(problem) & (unit @ problem.weight.T + problem.bias > 0)
    through = np.where(active, upstream, 0.0) @ np.abs(problem.weight)
    magnitude = _over_norm(through, unit, np.ones_like(unit), problem.student, 1)
    return np.where(_kinked(problem, relative), np.inf, magnitude)


def _kinked(problem: Problem, relative: float) -> BoolArray:
    """``[B, 1, 1]``: whether rounding decides on which side of ReLU's kink some cell lies."""
    if problem.weight is None or problem.bias is None:
        return np.zeros((1, 1, 1), dtype=bool)
    unit = l1_normalise(scaled_to_peak(problem.student))
    affine = unit @ problem.weight.T + problem.bias
    undecided = np.abs(affine) <= relative * (unit @ np.abs(problem.weight).T + abs(problem.bias))
    near = undecided & _cells(problem) & (affine != 0)
    return np.asarray(near.any(axis=(-1, -2), keepdims=True))


def _cells(problem: Problem) -> BoolArray:
    """The mask in the layout of the heads."""
    return problem.valid.reshape(problem.valid.shape[0], 1, -1)


def _as_maps(heads: FloatArray, case: Case) -> FloatArray:
    """Back to ``[B, Hs, Q, K]`` from whole maps ``[B, Hs, n]`` or rows ``[B, Q, Hs, K]``."""
    by_head = np.moveaxis(heads, 1, 2) if heads.ndim == 4 else heads
    return by_head.reshape(case.student.shape)


def _square_terms(target: FloatArray, mixture: FloatArray) -> FloatArray:
    return (target + mixture) ** 2


def _square_slope(target: FloatArray, mixture: FloatArray) -> FloatArray:
    return 2 * (target + mixture)


def _kl_terms(target: FloatArray, mixture: FloatArray) -> FloatArray:
    terms = target * (1 + np.abs(np.log(target)) + np.abs(np.log(mixture)))
    return np.where(target > 0, terms, 0.0)


def _kl_slope(target: FloatArray, mixture: FloatArray) -> FloatArray:
    return np.where(target > 0, target / mixture, 0.0)


def _js_terms(target: FloatArray, mixture: FloatArray) -> FloatArray:
    half = (target + mixture) / 2
    return (_kl_terms(target, half) + _kl_terms(mixture, half)) / 2


def _js_slope(target: FloatArray, mixture: FloatArray) -> FloatArray:
    half = (target + mixture) / 2
    logs = (np.abs(np.log(mixture)) + np.abs(np.log(half))) / 2
    return np.where(half > 0, 1 + logs, 0.0)


_MAGNITUDES: Mapping[str, tuple[_Magnitude, _Magnitude]] = MappingProxyType(
    {
        "mse": (_square_terms, _square_slope),
        "kl": (_kl_terms, _kl_slope),
        "projected": (_kl_terms, _kl_slope),
        "token": (_kl_terms, _kl_slope),
        "js": (_js_terms, _js_slope),
    }
)
"""Terms of the divergence of each variant, and its derivative by the mixture."""
