"""All exhibits of one port, and how well a set of mistakes reproduces them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from amad_core.conformance.diagnosis.exhibit import Exhibit, Suspect, Suspects, stages_of
from amad_core.conformance.diagnosis.pipeline import Stages
from amad_core.conformance.diagnosis.relative_tolerance import relative_distance

_FINITE_CASES = 6
"""From fewer cases with a finite loss no mistake is named where a floor may decide."""


@dataclass(frozen=True)
class Match:
    """How well suspects reproduce the evidence: all values and gradients are within tolerance.

    Attributes:
        error: the largest relative distance over all values and gradients.
        values, gradients: how many of each were compared.
        limits: how many of the values are those that a floor keeps finite.
    """

    suspects: Suspects
    error: float
    values: int
    gradients: int
    limits: int = 0


class Evidence:
    """Exhibits of one variant, and those of them that tell something.

    Attributes:
        exhibits: where the exact loss is finite.
        answered: those with a value; ``differing`` and ``agreeing`` by the slack of a prediction,
            ``wrong_values`` and ``wrong_gradients`` by the verdict.
        limits: where the exact loss is infinite and the port's own floor keeps it finite.
    """

    def __init__(self, exhibits: Sequence[Exhibit]) -> None:
        self.variant = exhibits[0].case.variant
        self.exhibits = [one for one in exhibits if not one.is_limit]
        self.limits = [one for one in exhibits if one.is_limit and one.is_finite]
        self.answered = [one for one in self.exhibits if one.answer.value is not None]
        self.differing = [one for one in self.answered if one.differs]
        self.agreeing = [one for one in self.answered if not one.differs]
        self.wrong_values = [one for one in self.answered if one.value_is_wrong]
        self.wrong_gradients = [one for one in self.answered if one.gradient_is_wrong]
        self.teacher_gradient = any(one.teacher_gradient for one in self.exhibits)

    @cached_property
    def agrees(self) -> bool:
        """Whether all values and gradients are the specification's, to its own tolerance."""
        return not (self.teacher_gradient or self.wrong_values or self.wrong_gradients)

    @cached_property
    def never_finite(self) -> bool:
        """Whether every value is NaN or infinite, which fits all too many mistakes."""
        return not any(one.is_finite for one in self.answered)

    @cached_property
    def errors(self) -> list[float]:
        """Relative distances from the specification, of all values and gradients that came."""
        errors = [error for one in self.answered for error in (one.value_error, one.gradient_error)]
        return [error for error in errors if not np.isnan(error)]

    @cached_property
    def unexplained(self) -> float:
        """The error that an explanation has to beat: the specification's own, where it is small.

        Where everything agrees up to the slack of a prediction, a mistake must match clearly better
        than no mistake does.
        """
        gradients_differ = any(one.gradient_differs for one in self.answered)
        if self.differing or gradients_differ or self.teacher_gradient:
            return np.inf
        return 0.2 * max(self.errors, default=0.0)

    @cached_property
    def order(self) -> list[Exhibit]:
        """Answered cases, those that differ from the specification first."""
        return self.differing + self.agreeing

    def match(self, suspects: Suspects) -> Match | None:
        """How well the suspects reproduce everything; ``None`` where anything does not match.

        Where the mistakes make the loss infinite or NaN and the port is finite, a floor of the
        port's own decides (any will do): such cases are left out, as long as enough others are
        compared, and one of them is wrong.
        """
        stages = stages_of(suspects)
        error = 0.0
        floored: list[Exhibit] = []
        finite = 0
        for exhibit in self.order:
            single = len(suspects) == 1
            predicted = exhibit.value(suspects[0]) if single else exhibit.value_with(stages)
            if _floor_decides(exhibit, predicted):
                floored.append(exhibit)
                continue
            if not exhibit.value_matches(predicted):
                return None
            error = max(error, relative_distance(exhibit.answer.value, predicted))
            finite += bool(predicted is not None and np.isfinite(predicted).all())
        if floored and (finite < _FINITE_CASES or set(self.differing) <= set(floored)):
            return None
        if floored and any(self._shown_only_by(suspect, floored) for suspect in suspects):
            return None
        limits = self._limits_reached(stages)
        if limits is None:
            return None
        gradients = 0
        for exhibit in sorted(self.order, key=lambda one: not one.gradient_differs):
            if exhibit in floored:
                continue
            compared, distance = exhibit.gradient_distance(stages)
            if distance > exhibit.tolerance.gradient:
                return None
            gradients += compared
            error = max(error, distance)
        values = len(self.answered) - len(floored) + limits
        return Match(suspects, error, values, gradients, limits)

    def _limits_reached(self, stages: Stages) -> int | None:
        """How many values of infinite cases are predicted; ``None`` where one is, and wrongly."""
        reached = 0
        for exhibit in self.limits:
            predicted = exhibit.value_with(stages)
            if predicted is None or not np.isfinite(predicted).all():
                continue  # any floor of the port's own may keep it finite
            if not exhibit.value_matches(predicted):
                return None
            reached += 1
        return reached

    def _shown_only_by(self, suspect: Suspect, exhibits: Sequence[Exhibit]) -> bool:
        """Whether no other case's value shows the mistake, but one of these does."""
        loud = [one for one in self.answered if not one.silent(suspect)]
        return bool(loud) and set(loud) <= set(exhibits)


def _floor_decides(exhibit: Exhibit, predicted: Any) -> bool:
    found = exhibit.answer.value
    if predicted is None or found is None or np.shape(found) != np.shape(predicted):
        return False
    return bool(not np.isfinite(predicted).all() and np.isfinite(found).all())
