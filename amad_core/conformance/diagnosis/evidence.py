"""What a port answered, and how well a set of mistakes reproduces it."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from amad_core.attention.inputs import FloatArray
from amad_core.conformance.diagnosis.arrays import NUMPY
from amad_core.conformance.diagnosis.mistakes import Form, Mistake
from amad_core.conformance.diagnosis.pipeline import (
    Memory,
    Problem,
    Stages,
    observe,
    problem_of,
    run,
    stages_with,
)
from amad_core.conformance.diagnosis.relative_tolerance import (
    Budget,
    budgets,
    relative_distance,
    specification,
)
from amad_core.conformance.inputs.case import Case, Observation
from amad_core.conformance.judging.tolerance import UNIT_ROUNDOFF, tolerance, within

CANNOT_RUN = (ValueError, IndexError, TypeError, AttributeError)
"""What a mistake raises on shapes that a port with it would fail on, too."""


@dataclass(frozen=True)
class Suspect:
    """One mistake, made in one way."""

    mistake: Mistake
    form: Form


Suspects = tuple[Suspect, ...]

_ENOUGH = 6
"""From fewer cases with a finite loss no mistake is named."""


@dataclass(frozen=True)
class Match:
    """How well parts reproduce the evidence: all values and gradients are within the budget.

    Attributes:
        error: the largest relative distance over all values and gradients.
        values, gradients: how many of each were compared.
    """

    suspects: Suspects
    error: float
    values: int
    gradients: int


class Evidence:
    """Cases, observations, what is right, and predictions of known mistakes, computed once."""

    def __init__(self, cases: Sequence[Case], observations: Sequence[Observation]) -> None:
        self.cases = list(cases)
        self.observations = list(observations)
        self.budgets: list[Budget] = budgets(self.cases, self.observations)
        self.specified = [specification(case) for case in self.cases]
        self.problems: list[Problem] = [problem_of(case, NUMPY) for case in self.cases]
        self.answered = [i for i, found in enumerate(self.observations) if found.value is not None]
        self._values: dict[tuple[int, int], Any] = {}
        self.pair_distances: dict[tuple[int, ...], list[tuple[float, Suspects]]] = {}
        self._memories = [Memory() for _ in self.cases]

    def restricted(self, indices: Sequence[int]) -> "Evidence":
        """The same evidence as if only these cases had been answered; predictions are shared."""
        fewer = copy(self)
        for name in ("agrees", "unexplained", "differing", "agreeing", "wrong_gradients", "order"):
            fewer.__dict__.pop(name, None)
        fewer.answered = [i for i in self.answered if i in set(indices)]
        return fewer

    @cached_property
    def value_errors(self) -> FloatArray:
        """Relative distance of every value from the specification's; NaN where none came."""
        return np.array([self._value_error(i) for i in range(len(self.cases))])

    @cached_property
    def gradient_errors(self) -> FloatArray:
        """The same of the gradients; NaN where none came."""
        return np.array([self._gradient_error(i) for i in range(len(self.cases))])

    @cached_property
    def agrees(self) -> bool:
        """Whether all values and gradients are the specification's, to its own tolerance."""
        return not self.teacher_gradient and all(map(self._agrees, self.answered))

    @cached_property
    def unexplained(self) -> float:
        """The error that an explanation has to beat: the specification's own, where it is small.

        Where everything agrees up to the slack of a budget, a mistake must fit clearly better than
        no mistake does.
        """
        if self.differing or self.wrong_gradients or self.teacher_gradient:
            return np.inf
        errors = [*self.value_errors, *self.gradient_errors]
        return 0.2 * max((error for error in errors if not np.isnan(error)), default=0.0)

    @cached_property
    def teacher_gradient(self) -> bool:
        """Whether the teacher got a gradient anywhere."""
        return any(
            found.grad_teacher is not None and bool(np.any(found.grad_teacher != 0))
            for found in self.observations
        )

    @cached_property
    def differing(self) -> list[int]:
        """Cases whose value is not the specification's."""
        return [i for i in self.answered if not self.value_errors[i] <= self.budgets[i].value]

    @cached_property
    def agreeing(self) -> list[int]:
        """Cases whose value is the specification's."""
        return [i for i in self.answered if self.value_errors[i] <= self.budgets[i].value]

    @cached_property
    def wrong_gradients(self) -> list[int]:
        """Cases whose gradient is not the specification's."""
        return [i for i in self.answered if self.gradient_errors[i] > self.budgets[i].gradient]

    @cached_property
    def order(self) -> list[int]:
        """Answered cases, those that differ from the specification first."""
        return self.differing + self.agreeing

    def value(self, suspect: Suspect, index: int) -> Any:
        """The value that one mistake gives; ``None`` where it cannot run."""
        key = (id(suspect.form), index)
        if key not in self._values:
            self._values[key] = self.value_with(stages_with(suspect.form.mutation), index)
        return self._values[key]

    def value_with(self, stages: Stages, index: int) -> Any:
        """The value of one case with these stages; ``None`` where they cannot run."""
        case = self.cases[index]
        problem = self.problems[index]
        try:
            with np.errstate(all="ignore"):
                memory = self._memories[index]
                return np.asarray(run(stages, problem, case.teacher, case.student, memory))
        except CANNOT_RUN:
            return None

    def value_fits(self, index: int, predicted: Any) -> bool:
        """Whether a predicted value is the observed one."""
        found = self.observations[index].value
        if predicted is None or found is None:
            return predicted is None and found is None
        return relative_distance(found, predicted) <= self.budgets[index].value

    def distance(self, suspects: Suspects, index: int) -> float:
        """Relative distance of the value that the parts give from the observed one."""
        found = self.observations[index].value
        predicted = self.value_with(_stages(suspects), index)
        if predicted is None or found is None:
            return np.inf
        return relative_distance(found, predicted)

    def silent(self, suspect: Suspect, index: int) -> bool:
        """Whether the value of a case does not show the mistake."""
        predicted = self.value(suspect, index)
        if predicted is None:
            return False
        return relative_distance(predicted, self.specified[index][0]) <= self.budgets[index].value

    def match(self, suspects: Suspects) -> Match | None:
        """How well the parts reproduce everything; ``None`` where anything does not fit.

        Where the mistakes make the loss infinite or NaN and the port is finite, a floor of the
        port's own decides (any will do): such cases are left out, as long as enough others are
        compared, and one of them is wrong.
        """
        stages = _stages(suspects)
        error = 0.0
        floored, finite = [], 0
        for index in self.order:
            if len(suspects) == 1:
                predicted = self.value(suspects[0], index)
            else:
                predicted = self.value_with(stages, index)
            if self._floor_decides(index, predicted):
                floored.append(index)
                continue
            if not self.value_fits(index, predicted):
                return None
            error = max(error, relative_distance(self.observations[index].value, predicted))
            finite += bool(predicted is not None and np.isfinite(predicted).all())
        if floored and (finite < _ENOUGH or set(self.differing) <= set(floored)):
            return None
        if floored and any(self._shown_only_by(suspect, floored) for suspect in suspects):
            return None
        gradients = 0
        for index in self.wrong_gradients + [
            i for i in self.order if i not in self.wrong_gradients
        ]:
            if index in floored:
                continue
            compared_gradients, distance = self._gradient_distance(stages, index)
            if distance > self.budgets[index].gradient:
                return None
            gradients += compared_gradients
            error = max(error, distance)
        return Match(suspects, error, len(self.answered) - len(floored), gradients)

    def _floor_decides(self, index: int, predicted: Any) -> bool:
        found = self.observations[index].value
        if predicted is None or found is None or np.shape(found) != np.shape(predicted):
            return False
        return bool(not np.isfinite(predicted).all() and np.isfinite(found).all())

    def _shown_only_by(self, suspect: Suspect, indices: Sequence[int]) -> bool:
        """Whether no other case's value shows the mistake, but one of these does."""
        loud = [index for index in self.answered if not self.silent(suspect, index)]
        return bool(loud) and set(loud) <= set(indices)

    def _gradient_distance(self, stages: Stages, index: int) -> tuple[int, float]:
        """How many gradients were compared, and the largest relative distance of them."""
        found = self.observations[index]
        if found.value is None or not np.isfinite(found.value).all():
            return 0, 0.0
        if found.grad_student is None and found.grad_teacher is None:
            return 0, 0.0
        try:
            predicted = observe(self.cases[index], stages)
        except CANNOT_RUN:
            return 0, np.inf
        distances = []
        if found.grad_student is not None:
            gradients = found.grad_student, np.asarray(predicted.grad_student)
            distances.append(self._distance_of_gradients(index, *gradients))
        if found.grad_teacher is not None:
            small = self.budgets[index].small_gradient
            distances.append(relative_distance(found.grad_teacher, predicted.grad_teacher, small))
        return len(distances), max(distances)

    def _agrees(self, index: int) -> bool:
        found, (value, gradient) = self.observations[index], self.specified[index]
        dtype = found.dtype if found.dtype in UNIT_ROUNDOFF else "float32"
        allowed = tolerance(self.cases[index], dtype)
        if found.value is None or np.shape(found.value) != value.shape:
            return False
        right = within(np.asarray(found.value), value, allowed.value)
        if found.grad_student is None or not right:
            return right
        return within(found.grad_student, gradient, allowed.gradient)

    def _value_error(self, index: int) -> float:
        found = self.observations[index].value
        return np.nan if found is None else relative_distance(found, self.specified[index][0])

    def _gradient_error(self, index: int) -> float:
        found = self.observations[index]
        if found.value is None or found.grad_student is None:
            return np.nan
        return self._distance_of_gradients(index, found.grad_student, self.specified[index][1])

    def _distance_of_gradients(self, index: int, found: FloatArray, expected: FloatArray) -> float:
        """Of the student's, which rightly differ where its map is 0 (see the tolerance)."""
        zeros = self.cases[index].student == 0
        if found.shape == expected.shape == zeros.shape and np.isfinite(found).all():
            found, expected = np.where(zeros, 0.0, found), np.where(zeros, 0.0, expected)
        return relative_distance(found, expected, self.budgets[index].small_gradient)


def _stages(suspects: Suspects) -> Stages:
    return stages_with(*(suspect.form.mutation for suspect in suspects))
