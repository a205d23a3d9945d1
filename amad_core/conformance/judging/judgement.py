"""One answer of a port, held against the specification."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from amad_core.attention.gradient import amad_loss_and_grad
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.judging.tolerance import UNIT_ROUNDOFF, Tolerance, exceeds, tolerance
from amad_core.conformance.ports.answer import Answer


@dataclass(frozen=True)
class Judgement:
    """What is wrong with an answer, in words; empty words where nothing is.

    Attributes:
        case: what was asked, rounded to the dtype it was asked in.
        answer: what came.
        expected: what the specification gives.
        dtype: the coarser of the dtypes asked in and answered in: what the tolerance is for.
        asked_in: the dtype of the maps.
    """

    case: Case
    answer: Answer
    expected: Answer
    dtype: str
    asked_in: str

    @cached_property
    def tolerance(self) -> Tolerance:
        """How far the answer may be off."""
        return tolerance(self.case, self.dtype)

    @cached_property
    def value_problem(self) -> str:
        """Why the value is not right."""
        if self.answer.trouble is not None:
            return self.answer.trouble.message
        found, wanted = self.answer.value, self.expected.value
        assert found is not None
        assert wanted is not None
        if found.shape != wanted.shape:
            return _shape_problem(found.shape, wanted.shape, self.case)
        return _off(found, wanted, self.value_excess, "the loss")

    @cached_property
    def gradient_problem(self) -> str:
        """Why the gradient with respect to the student is not right."""
        if self.answer.trouble is not None:
            return self.answer.trouble.message
        found, wanted = self.answer.grad_student, self.expected.grad_student
        if found is None or wanted is None:
            return f"there is no gradient: {self.answer.no_gradient}"
        return _off(found, wanted, self.gradient_excess, "the gradient")

    @cached_property
    def leak(self) -> float:
        """The largest gradient that reaches the teacher; 0 where none does or none was taken."""
        leaked = self.answer.grad_teacher
        if leaked is None or leaked.size == 0:
            return 0.0
        largest = float(np.max(np.abs(leaked)))
        return float("inf") if np.isnan(largest) else largest

    @cached_property
    def value_excess(self) -> float:
        """Difference of the value over its tolerance; above 1 is wrong."""
        found, wanted = self.answer.value, self.expected.value
        if found is None or wanted is None or found.shape != wanted.shape:
            return float("inf")
        return float(np.max(exceeds(found, wanted, self.tolerance.value)))

    @cached_property
    def gradient_excess(self) -> float:
        """Largest difference of a gradient cell over its tolerance; above 1 is wrong."""
        found, wanted = self.answer.grad_student, self.expected.grad_student
        if found is None or wanted is None:
            return float("inf")
        return float(np.max(exceeds(found, wanted, self.tolerance.gradient)))


def judge(case: Case, answer: Answer, asked_in: str = "") -> Judgement:
    """The judgement of an answer to maps of the dtype ``asked_in``; by default, the answer's."""
    asked_in = asked_in or answer.dtype
    return Judgement(case, answer, specified(case), coarser(asked_in, answer.dtype), asked_in)


def specified(case: Case) -> Answer:
    """What the specification gives for a case."""
    with np.errstate(all="ignore"):
        value, gradient = amad_loss_and_grad(**case.arguments())
    return Answer(value, gradient, np.zeros_like(case.teacher))


def coarser(*dtypes: str) -> str:
    """The dtype with the largest rounding error; names that are no such dtype do not count."""
    known = [dtype for dtype in dtypes if dtype in UNIT_ROUNDOFF]
    return max(known, key=lambda dtype: UNIT_ROUNDOFF[dtype], default="float64")


def shown(value: NDArray[np.float64]) -> str:
    """A loss in six digits, or a list of them."""
    if value.ndim == 0:
        return f"{float(value):.6g}"
    return "[" + ", ".join(f"{number:.6g}" for number in value.ravel()[:6]) + "]"


def _shape_problem(found: tuple[int, ...], wanted: tuple[int, ...], case: Case) -> str:
    asked = "one loss a sample" if wanted else "a single number"
    advice = ""
    if found == case.teacher.shape[:1] and not wanted:
        advice = "; if it gives one loss a sample on purpose, say --reduction none"
    elif found == case.teacher.shape[:2]:
        advice = "; if it gives one loss a sample and teacher head, sum over the heads"
    elif not found and wanted:
        advice = "; if it reduces over the batch, say --reduction mean or sum"
    return (
        f"the loss has shape {list(found)}; with reduction {case.reduction!r} it is {asked}, "
        f"shape {list(wanted)}{advice}"
    )


def _off(found: NDArray[np.float64], wanted: NDArray[np.float64], excess: float, what: str) -> str:
    if excess <= 1:
        return ""
    if np.isnan(found).any():
        return f"{what} is NaN"
    if np.isinf(found).any() and np.isfinite(wanted).all():
        return f"{what} is infinite"
    if found.size == 1 or found.ndim <= 1:
        return f"{what} is {shown(found)}, the specification has {shown(wanted)}"
    difference = np.where(np.isfinite(wanted), np.abs(found - wanted), 0.0)
    index = tuple(int(i) for i in np.unravel_index(np.argmax(difference), found.shape))
    return (
        f"{what} is {found[index]:.6g} at {list(index)}, the specification has {wanted[index]:.6g}"
    )
