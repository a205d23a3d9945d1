"""An exhibit: one judged answer, and what known mistakes would have given for its case."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from amad_core.attention.inputs import FloatArray
from amad_core.conformance.diagnosis.arrays import NUMPY
from amad_core.conformance.diagnosis.mistakes import Form, Mistake
from amad_core.conformance.diagnosis.pipeline import (
    Memory,
    Stages,
    observe,
    problem_of,
    run,
    stages_with,
)
from amad_core.conformance.diagnosis.relative_tolerance import relative_distance, relative_tolerance
from amad_core.conformance.judging.judgement import Judgement

CANNOT_RUN = (ValueError, IndexError, TypeError, AttributeError)
"""What a mistake raises on shapes that a port with it would fail on, too."""


@dataclass(frozen=True)
class Suspect:
    """One mistake, made in one way."""

    mistake: Mistake
    form: Form


Suspects = tuple[Suspect, ...]


def stages_of(suspects: Suspects) -> Stages:
    """The pipeline of a port that makes these mistakes."""
    return stages_with(*(suspect.form.mutation for suspect in suspects))


class Exhibit:
    """A judgement, and the predictions of known mistakes for its case, computed once.

    Attributes:
        case, answer: what was asked, and what came.
        right_value, right_gradient: what the specification gives.
        tolerance: how far a prediction may be from the answer.
        pair_distances: of pairs of suspects, by the suspects that were paired.
    """

    def __init__(self, judgement: Judgement) -> None:
        self.judgement = judgement
        self.case, self.answer = judgement.case, judgement.answer
        self.right_value = np.asarray(judgement.expected.value)
        self.right_gradient = np.asarray(judgement.expected.grad_student)
        self.tolerance = relative_tolerance(judgement)
        self.problem = problem_of(self.case, NUMPY)
        self.pair_distances: dict[tuple[int, ...], list[tuple[float, Suspects]]] = {}
        self._values: dict[int, Any] = {}
        self._memory = Memory()

    @cached_property
    def value_error(self) -> float:
        """Relative distance of the value from the specification's; NaN where none came."""
        if self.answer.value is None:
            return np.nan
        return relative_distance(self.answer.value, self.right_value)

    @cached_property
    def gradient_error(self) -> float:
        """The same of the gradient; NaN where none came."""
        found = self.answer.grad_student
        if self.answer.value is None or found is None:
            return np.nan
        return self._distance_of_gradients(found, self.right_gradient)

    @property
    def differs(self) -> bool:
        """Whether a value came that is not the specification's, to the slack of a prediction."""
        return self.answer.value is not None and not self.value_error <= self.tolerance.value

    @property
    def gradient_differs(self) -> bool:
        """The same of the gradient."""
        return self.gradient_error > self.tolerance.gradient

    @property
    def value_is_wrong(self) -> bool:
        """Whether a value came that the verdict calls wrong, which takes less."""
        return self.answer.value is not None and bool(self.judgement.value_problem)

    @property
    def gradient_is_wrong(self) -> bool:
        """The same of the gradient."""
        return self.answer.grad_student is not None and bool(self.judgement.gradient_problem)

    @property
    def is_limit(self) -> bool:
        """Whether the exact loss is infinite, so that a finite answer shows a floor."""
        return not np.isfinite(self.right_value).all()

    @property
    def teacher_gradient(self) -> bool:
        """Whether the teacher got a gradient."""
        found = self.answer.grad_teacher
        return found is not None and bool(np.any(found != 0))

    @property
    def is_finite(self) -> bool:
        """Whether a value came, all of it finite."""
        return self.answer.value is not None and bool(np.isfinite(self.answer.value).all())

    def value(self, suspect: Suspect) -> Any:
        """The value that one mistake gives; ``None`` where it cannot run."""
        key = id(suspect.form)
        if key not in self._values:
            self._values[key] = self.value_with(stages_with(suspect.form.mutation))
        return self._values[key]

    def value_with(self, stages: Stages) -> Any:
        """The value that these stages give; ``None`` where they cannot run."""
        try:
            with np.errstate(all="ignore"):
                case = self.case
                return np.asarray(
                    run(stages, self.problem, case.teacher, case.student, self._memory)
                )
        except CANNOT_RUN:
            return None

    def value_matches(self, predicted: Any) -> bool:
        """Whether a predicted value is the answer's."""
        found = self.answer.value
        if predicted is None or found is None:
            return predicted is None and found is None
        return relative_distance(found, predicted) <= self.tolerance.value

    def distance(self, suspects: Suspects) -> float:
        """Relative distance of the value that the suspects give from the answer's."""
        found, predicted = self.answer.value, self.value_with(stages_of(suspects))
        if predicted is None or found is None:
            return np.inf
        return relative_distance(found, predicted)

    def runs(self, suspect: Suspect) -> bool:
        """Whether a port with this mistake answers the case."""
        return self.value(suspect) is not None

    def silent(self, suspect: Suspect) -> bool:
        """Whether the value of this case does not show the mistake."""
        predicted = self.value(suspect)
        if predicted is None:
            return False
        return relative_distance(predicted, self.right_value) <= self.tolerance.value

    def gradient_distance(self, stages: Stages) -> tuple[int, float]:
        """How many gradients were compared with those of the stages, and the largest distance."""
        found = self.answer
        if not self.is_finite or (found.grad_student is None and found.grad_teacher is None):
            return 0, 0.0
        try:
            predicted = observe(self.case, stages)
        except CANNOT_RUN:
            return 0, np.inf
        distances = []
        if found.grad_student is not None:
            gradient = np.asarray(predicted.grad_student)
            distances.append(self._distance_of_gradients(found.grad_student, gradient))
        if found.grad_teacher is not None:
            small = self.tolerance.small_gradient
            distances.append(relative_distance(found.grad_teacher, predicted.grad_teacher, small))
        return len(distances), max(distances)

    def _distance_of_gradients(self, found: FloatArray, expected: FloatArray) -> float:
        """Of the student's, which rightly differ where its map is 0 (see the tolerance)."""
        zeros = self.case.student == 0
        if found.shape == expected.shape == zeros.shape and np.isfinite(found).all():
            found, expected = np.where(zeros, 0.0, found), np.where(zeros, 0.0, expected)
        return relative_distance(found, expected, self.tolerance.small_gradient)
