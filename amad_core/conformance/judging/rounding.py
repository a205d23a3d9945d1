"""What half precision does to a loss: computed a few dozen times, each rounded another way.

A bound on the worst that roundings can do is larger than most losses in bfloat16. So the loss and
its gradient are computed in textbook form, and what every stage gives is rounded to the dtype, on
a grid that is shifted at random: equal cells are rounded alike, as they are in a port, others are
not, and nothing is exact by chance. Norms and sums are rounded by themselves, for they err alike in
all that they divide. Nothing is simplified that ports leave as it is: squares are expanded, entropy
and cross-entropy summed apart; every other time logarithms have the smallest floor that the dtype
holds, and the target is the exponential of its logarithm (``log_target=True`` of PyTorch's
``kl_div``). The root of the mean square of the errors is what rounding leads to expect. (Monte
Carlo arithmetic: Parker, Univ. of California CSD-970002, 1997.)
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from amad_core.attention.alignment import softmax_over_students
from amad_core.attention.inputs import FloatArray
from amad_core.attention.loss import Problem, reduce_batch
from amad_core.attention.similarity import l1_normalise, l2_normalise, scaled_to_peak
from amad_core.conformance.inputs.borders import rounded_array
from amad_core.conformance.inputs.case import Case

SMALLEST_NORMAL: Mapping[str, float] = MappingProxyType(
    {"float16": 2.0**-14, "bfloat16": 2.0**-126}
)
"""The dtypes of half precision, and their smallest numbers of full precision."""

_REPEATS = 32

Stage = Callable[[FloatArray], FloatArray]


class Errors(NamedTuple):
    """Root mean squares: of the loss, and cell by cell of the gradient in the heads' layout."""

    value: FloatArray
    gradient: FloatArray


def expected_errors(case: Case, problem: Problem, dtype: str) -> Errors:
    """The errors of the reduced loss, and of the gradient of every sample's own loss."""
    heads = {name: getattr(problem, name) for name in ("teacher", "student", "valid")}
    repeated: dict[str, Any] = {
        name: np.concatenate([array] * _REPEATS) for name, array in heads.items()
    }
    batch = len(problem.teacher)
    floors = np.repeat(np.tile([0.0, SMALLEST_NORMAL[dtype]], _REPEATS // 2), batch)
    with np.errstate(all="ignore"):
        exact = _Evaluation(case.variant, problem, np.zeros(batch), lambda result: result)
        rounded = _Evaluation(
            case.variant, problem._replace(**repeated), floors, _Rounding(dtype).stage
        )
    losses = [reduce_batch(one, case.reduction) for one in rounded.losses.reshape(_REPEATS, batch)]
    gradients = rounded.gradient.reshape(_REPEATS, *exact.gradient.shape)
    return Errors(
        _rms(np.stack(losses) - reduce_batch(exact.losses, case.reduction)),
        _rms(gradients - exact.gradient),
    )


def _rms(errors: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(np.mean(errors**2, axis=0)))


class _Rounding:
    """Rounds to a dtype, on a grid that is shifted at random in each sample."""

    def __init__(self, dtype: str) -> None:
        self.dtype, self.rng = dtype, np.random.default_rng(0)

    def stage(self, result: FloatArray) -> FloatArray:
        shift = self.rng.uniform(0.5, 1, (len(result), *[1] * (result.ndim - 1)))
        return rounded_array(result * shift, self.dtype) / shift


class _Evaluation:
    """The loss and its gradient, every stage rounded.

    Attributes:
        losses: of the samples.
        gradient: of each with respect to its student heads.
    """

    def __init__(self, variant: str, problem: Problem, floors: FloatArray, rounding: Stage) -> None:
        self.problem, self.rounding = problem, rounding
        heads = self._projected() if problem.weight is not None else problem.student
        floor = floors.reshape(-1, *[1] * (heads.ndim - 1))
        order = 2 if problem.variant.normalisation.value is l2_normalise else 1
        normalise = problem.variant.normalisation.value
        scaled = scaled_to_peak(heads)

        teacher_unit = self._normalised(l2_normalise, problem.teacher)
        unit = self._normalised(l2_normalise, scaled)
        cosine = rounding(teacher_unit @ np.swapaxes(unit, -1, -2))
        exponents = rounding(cosine / problem.temperature)
        weights = self._normalised(lambda one: softmax_over_students(one, 1.0), exponents)
        target, mixed_in = (self._normalised(normalise, one) for one in (problem.teacher, scaled))
        mixture = rounding(weights @ mixed_in)
        per_head, slope = _DIVERGENCES[variant](
            target, mixture, np.maximum(floor, problem.eps), rounding
        )
        self.losses = rounding(per_head.reshape(len(per_head), -1).sum(axis=-1))

        by_weight = rounding(slope @ np.swapaxes(mixed_in, -1, -2))
        average = rounding(np.sum(weights * by_weight, axis=-1, keepdims=True))
        by_exponent = rounding(weights * by_weight) - rounding(weights * average)
        by_cosine = rounding(rounding(by_exponent) / problem.temperature)
        by_unit = rounding(np.swapaxes(by_cosine, -1, -2) @ teacher_unit)
        by_mixed_in = rounding(np.swapaxes(weights, -1, -2) @ slope)
        along = mixed_in if order == 2 else np.ones_like(mixed_in)
        gradient = self._over_norm(by_unit, unit, unit, heads, 2)
        gradient = rounding(gradient + self._over_norm(by_mixed_in, mixed_in, along, heads, order))
        self.gradient = gradient if problem.weight is None else self._through(gradient)

    def _normalised(self, normalise: Stage, heads: FloatArray) -> FloatArray:
        """Divided by a norm or a sum that is rounded by itself."""
        return self.rounding(normalise(heads) * self.rounding(np.ones_like(heads[..., :1])))

    def _over_norm(
        self,
        upstream: FloatArray,
        unit: FloatArray,
        along: FloatArray,
        heads: FloatArray,
        order: int,
    ) -> FloatArray:
        """``(g - along <g, unit>) / |v|``: the derivative of a normalisation."""
        norm = np.linalg.norm(heads, ord=order, axis=-1, keepdims=True)
        inner = self.rounding(np.sum(self.rounding(upstream * unit), axis=-1, keepdims=True))
        difference = self.rounding(upstream - self.rounding(along * inner))
        return np.where(norm > 0, self.rounding(difference / np.where(norm > 0, norm, 1.0)), 0.0)

    def _projected(self) -> FloatArray:
        """Eq. 10."""
        weight, bias, student = self.problem.weight, self.problem.bias, self.problem.student
        assert weight is not None
        assert bias is not None
        self._unit = self._normalised(l1_normalise, scaled_to_peak(student))
        affine = self.rounding(self.rounding(self._unit @ weight.T) + bias)
        self._active = (affine > 0) & self.problem.valid.reshape(len(student), 1, -1)
        return np.where(self._active, affine, 0.0)

    def _through(self, gradient: FloatArray) -> FloatArray:
        """Back through eq. 10."""
        through = self.rounding(np.where(self._active, gradient, 0.0) @ self.problem.weight)
        along = np.ones_like(through)
        return self._over_norm(through, self._unit, along, self.problem.student, 1)


def _total(terms: FloatArray, rounding: Stage) -> FloatArray:
    return rounding(np.sum(rounding(terms), axis=-1))


def _log(values: FloatArray, floor: FloatArray, rounding: Stage) -> FloatArray:
    floored = np.maximum(values, floor)
    return rounding(np.log(np.where(floored > 0, floored, 1.0)))


Divergence = Callable[[FloatArray, FloatArray, FloatArray, Stage], tuple[FloatArray, FloatArray]]
"""``(target, mixture, floor, rounding)`` to the value and its derivative by the mixture."""


def _squares(
    target: FloatArray, mixture: FloatArray, floor: FloatArray, rounding: Stage
) -> tuple[FloatArray, FloatArray]:
    value = _total(target**2, rounding) - 2 * _total(target * mixture, rounding)
    return value + _total(mixture**2, rounding), -2 * rounding(target - mixture)


def _kl(
    target: FloatArray, mixture: FloatArray, floor: FloatArray, rounding: Stage
) -> tuple[FloatArray, FloatArray]:
    again = rounding(np.exp(rounding(np.log(np.maximum(target, floor)))))
    target = np.where(floor > 0, again, target)
    slope = -np.where((target > 0) & (mixture > floor), target / mixture, 0.0)
    entropy = _total(target * _log(target, floor, rounding), rounding)
    return entropy - _total(target * _log(mixture, floor, rounding), rounding), rounding(slope)


def _js(
    target: FloatArray, mixture: FloatArray, floor: FloatArray, rounding: Stage
) -> tuple[FloatArray, FloatArray]:
    half = rounding((target + mixture) / 2)
    of_target, of_mixture, of_half = (
        _log(values, floor, rounding) for values in (target, mixture, half)
    )
    value = _total(target * of_target, rounding) - _total(target * of_half, rounding)
    value += _total(mixture * of_mixture, rounding) - _total(mixture * of_half, rounding)
    # The derivatives of the three logarithms add up to 0, but for their rounding.
    rest = rounding(np.ones_like(half)) - 1
    return value / 2, rounding((of_mixture - of_half) / 2 + rest)


_DIVERGENCES: Mapping[str, Divergence] = MappingProxyType(
    {"mse": _squares, "kl": _kl, "projected": _kl, "token": _kl, "js": _js}
)
