"""Mistakes that leave the value right and the gradient wrong."""

from typing import Any

from amad_core.conformance.diagnosis.arrays import Array
from amad_core.conformance.diagnosis.mistakes.mistake import (
    GRADIENTS,
    TEACHER_GRADIENT,
    Form,
    Mistake,
    one,
)
from amad_core.conformance.diagnosis.pipeline import (
    Mutation,
    Problem,
    Replace,
    Stage,
    Wrap,
    after,
)


def detached(problem: Problem, array: Array) -> Array:
    """The same numbers without gradient."""
    return problem.arrays.stop_gradient(array)


def _constant_norm(inner: Stage, problem: Problem, heads: Array) -> Array:
    """``v / |v|`` with ``|v|`` a constant to differentiation."""
    unit = problem.arrays.stop_gradient(inner(problem, heads))
    values = problem.arrays.stop_gradient(heads)
    some = problem.arrays.values(values) > 0
    factor = problem.arrays.where(some, unit / problem.arrays.where(some, values, 1.0), 0.0)
    largest = problem.arrays.max(factor, -1, True)
    return heads * largest


def _attached(problem: Problem, teacher: Array, student: Array) -> Any:
    return problem, teacher, student


def _wrong_side_detached(problem: Problem, teacher: Array, student: Array) -> Any:
    return problem, teacher, problem.arrays.stop_gradient(student)


def _without_student(problem: Problem, teacher: Array, student: Array) -> Any:
    stop = problem.arrays.stop_gradient
    return problem, stop(teacher), stop(student)


_UNIT_CONSTANT: Mutation = {"student_unit": Wrap(_constant_norm)}
_ENTERING_CONSTANT: Mutation = {"mixed_in": Wrap(_constant_norm)}

MISTAKES = (
    Mistake(
        name="weights-detached",
        sentence="The weights are constants to differentiation (detached, or computed under "
        "no_grad).",
        symptom="Right value; gradient cosine 0.95 to 0.999, norm 0.80 to 0.99.",
        mend="Leave the weights in the graph: the student learns through them too.",
        evidence="Measured.",
        forms=(Form("weights", {"weights": after(detached)}),),
        found_by=GRADIENTS,
    ),
    Mistake(
        name="mixture-detached",
        sentence="The student heads that are mixed are constants to differentiation; only the "
        "weights carry gradient.",
        symptom="Right value; gradient cosine 0.3, norm 0.065.",
        mend="Do not detach the student maps.",
        evidence="Measured.",
        forms=(Form("student heads", {"mixed_in": after(detached)}),),
        found_by=GRADIENTS,
    ),
    Mistake(
        name="norms-detached",
        sentence="The student's norms are constants to differentiation.",
        symptom="Right value; the gradient has a part along the map itself (cosine 0.70 on "
        "disjoint heads).",
        mend="Let the gradient pass through the normalisation.",
        evidence="Measured.",
        forms=(
            Form("all norms", {**_UNIT_CONSTANT, **_ENTERING_CONSTANT}),
            Form("in the cosines", _UNIT_CONSTANT),
            Form("in the divergence", _ENTERING_CONSTANT),
        ),
        found_by=GRADIENTS,
    ),
    Mistake(
        name="gradient-into-the-teacher",
        sentence="The teacher's maps get a gradient.",
        symptom="Memory for the teacher's graph; the loss falls because the teacher moves.",
        mend="teacher.detach() (stop_gradient) inside the loss, or where it is called; a note, "
        "unless --detached-teacher insists.",
        evidence="HF-style ports that rely on the caller's no_grad.",
        forms=one({"inputs": Replace(_attached)}),
        found_by=TEACHER_GRADIENT,
    ),
    Mistake(
        name="student-detached-for-teacher",
        sentence="The student is detached where the teacher should be: the gradient goes to the "
        "teacher alone.",
        symptom="The student never moves.",
        mend="Detach the teacher, not the student.",
        forms=one({"inputs": Replace(_wrong_side_detached)}),
        found_by=TEACHER_GRADIENT,
    ),
    Mistake(
        name="student-without-gradient",
        sentence="No gradient reaches the student: its maps are detached, or the loss was taken "
        "out of the graph (item(), numpy(), no_grad).",
        symptom="Gradient 0 or none.",
        mend="Keep every step from the student's maps to the loss in the graph.",
        forms=one({"inputs": Replace(_without_student)}),
        found_by=GRADIENTS,
    ),
)
